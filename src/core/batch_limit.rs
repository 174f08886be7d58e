//! How many messages the next batch may have: it grows with the backlog, and MongoDB's answers limit it.

use std::time::Duration;

/// An insert that takes longer is slow. A revoke and a stop wait for inserts, so none should take seconds.
const SLOW: Duration = Duration::from_secs(1);

/// In how many steps the limit rises from nothing to the most.
const STEPS: usize = 10;

/// The range of the limit: from `batch_size` to `max_batch_size`. They are the same where batches don't grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRange {
    pub least: usize,
    pub most: usize,
}

/// An insert that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedInsert {
    pub documents: usize,
    pub took: Duration,
    /// The server did not answer for each document: it refused the command, perhaps because of its size, or did not
    /// answer at all.
    pub has_failed: bool,
}

impl BatchRange {
    /// The limit after an insert, if it was `limit` before.
    ///
    /// A slow or failed insert lowers the limit to half of its own size. So several inserts of the same size lower it
    /// once. An insert of `least` documents or fewer lowers nothing: its size isn't the cause. Any other insert of at
    /// least three quarters of the limit raises it by a step; the rest of its batch may have been rejected before.
    pub fn limit_after(self, limit: usize, insert: EndedInsert) -> usize {
        let Self { least, most } = self;
        let is_too_large = insert.has_failed || insert.took > SLOW;
        let next = match insert.documents {
            documents if is_too_large && documents > least => limit.min(documents / 2),
            documents if !is_too_large && documents >= limit - limit / 4 => {
                limit + most.div_ceil(STEPS)
            }
            _ => limit,
        };
        next.min(most).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: BatchRange = BatchRange {
        least: 100,
        most: 1000,
    };

    fn insert(documents: usize, millis: u64, has_failed: bool) -> EndedInsert {
        EndedInsert {
            documents,
            took: Duration::from_millis(millis),
            has_failed,
        }
    }

    /// The limit after each of these inserts, which are all of one size, beginning with `limit`.
    fn limits(mut limit: usize, inserts: &[EndedInsert]) -> Vec<usize> {
        let next = |&insert: &EndedInsert| {
            limit = RANGE.limit_after(limit, insert);
            limit
        };
        inserts.iter().map(next).collect()
    }

    #[test]
    fn slow_inserts_of_one_size_halve_the_limit_once() {
        let slow = insert(1000, 1001, false);
        assert_eq!(limits(1000, &[slow; 3]), [500, 500, 500]);
        assert_eq!(limits(500, &[insert(500, 2000, false)]), [250]);
        assert_eq!(limits(1000, &[insert(1000, 1000, false)]), [1000]);
    }

    #[test]
    fn failed_inserts_lower_the_limit_down_to_the_batch_size() {
        let failed = [1000, 500, 250, 125, 100].map(|documents| insert(documents, 1, true));
        assert_eq!(limits(1000, &failed), [500, 250, 125, 100, 100]);
    }

    #[test]
    fn inserts_up_to_the_batch_size_lower_nothing() {
        assert_eq!(
            limits(1000, &[insert(100, 5000, false), insert(1, 1, true)]),
            [1000, 1000]
        );
    }

    #[test]
    fn the_limit_rises_by_a_step_for_each_insert_that_uses_it() {
        let inserts = [374, 375, 449, 450, 700, 800, 900, 1000];
        assert_eq!(
            limits(500, &inserts.map(|documents| insert(documents, 50, false))),
            [500, 600, 600, 700, 800, 900, 1000, 1000]
        );
    }

    #[test]
    fn a_range_of_one_size_is_left_by_nothing() {
        let range = BatchRange { least: 7, most: 7 };
        for ended in [
            insert(7, 1, false),
            insert(7, 9000, false),
            insert(7, 1, true),
        ] {
            assert_eq!(range.limit_after(7, ended), 7);
        }
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_its_range_and_recovers(
            least in 1..2000_usize, more in 0..2000_usize,
            inserts in prop::collection::vec((1..5000_usize, 0..3000_u64, any::<bool>()), 0..50),
        ) {
            let range = BatchRange { least, most: least + more };
            let mut limit = range.most;
            for (documents, millis, has_failed) in inserts {
                let ended = insert(documents, millis, has_failed);
                let next = range.limit_after(limit, ended);
                prop_assert!((range.least..=range.most).contains(&next));
                if has_failed || millis > 1000 {
                    prop_assert!(next <= limit);
                } else {
                    prop_assert!(next >= limit);
                }
                limit = next;
            }
            for _ in 0..STEPS {
                limit = range.limit_after(limit, insert(limit, 1, false));
            }
            prop_assert_eq!(limit, range.most);
        }
    }
}
