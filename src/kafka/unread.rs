//! Which records of the requested ranges are still to be read. Pure code without I/O.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::core::partition::{Offset, TopicPartition};

/// The partitions that are not read to the end of their range, and what is left of each range.
///
/// A partition is finished by a record at the end of its range or beyond. Where no such record comes (a transaction's
/// marker, a record that compaction has deleted), it is finished once a broker has nothing more at the end of the range
/// or beyond. A broker that has nothing more below the end finishes nothing: a follower or a new leader may lack
/// records that another replica has.
#[derive(Default)]
pub(super) struct Unread(BTreeMap<TopicPartition, Range<Offset>>);

impl Unread {
    pub(super) fn new(ranges: impl IntoIterator<Item = (TopicPartition, Range<Offset>)>) -> Self {
        let ranges = ranges.into_iter();
        Self(ranges.filter(|(_, range)| !range.is_empty()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_finished(&self, partition: TopicPartition) -> bool {
        !self.0.contains_key(&partition)
    }

    /// Notes that a record was read. Returns whether the record is in the range, and neither it nor a later one was
    /// read before.
    pub(super) fn read(&mut self, partition: TopicPartition, offset: Offset) -> bool {
        let Some(rest) = self.0.get_mut(&partition) else {
            return false;
        };
        let is_in_range = rest.contains(&offset);
        if offset >= rest.start {
            rest.start = offset.next();
        }
        if rest.is_empty() {
            self.0.remove(&partition);
        }
        is_in_range
    }

    /// Notes that no more of this partition is wanted.
    pub(super) fn finish(&mut self, partition: TopicPartition) {
        self.0.remove(&partition);
    }

    /// Notes that all records that a broker has were read, and that it has nothing from the offset `at` on.
    pub(super) fn end_met(&mut self, partition: TopicPartition, at: Offset) {
        if self.0.get(&partition).is_some_and(|rest| at >= rest.end) {
            self.0.remove(&partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: TopicPartition = TopicPartition::consumed(0);

    fn unread() -> Unread {
        Unread::new([(P, Offset(5)..Offset(10))])
    }

    #[test]
    fn the_last_record_finishes_a_partition() {
        let mut unread = unread();
        assert!(unread.read(P, Offset(8)));
        assert!(!unread.is_finished(P));
        assert!(unread.read(P, Offset(9)));
        assert!(unread.is_finished(P) && unread.is_empty());
        assert!(!unread.read(P, Offset(10)));
    }

    #[test]
    fn a_record_beyond_the_range_finishes_a_partition() {
        let mut unread = unread();
        assert!(!unread.read(P, Offset(12)));
        assert!(unread.is_finished(P));
    }

    #[test]
    fn a_broker_that_has_nothing_more_below_the_end_finishes_nothing() {
        let mut unread = unread();
        unread.end_met(P, Offset(9));
        assert!(!unread.is_finished(P));
        assert!(unread.read(P, Offset(9)));
        assert!(unread.is_finished(P));
    }

    #[test]
    fn a_broker_that_has_nothing_more_at_the_end_or_beyond_finishes_a_partition() {
        for at in [10, 11] {
            let mut unread = unread();
            unread.end_met(P, Offset(at));
            assert!(unread.is_finished(P));
        }
    }

    #[test]
    fn records_that_come_again_and_records_before_the_range_are_not_in_the_range() {
        let mut unread = unread();
        assert!(!unread.read(P, Offset(4)));
        assert!(unread.read(P, Offset(6)));
        assert!(!unread.read(P, Offset(5)));
        assert!(!unread.read(P, Offset(6)));
        assert!(unread.read(P, Offset(7)));
        assert!(!unread.is_finished(P));
    }

    #[test]
    fn an_empty_range_is_finished() {
        assert!(Unread::new([(P, Offset(5)..Offset(5))]).is_empty());
    }
}
