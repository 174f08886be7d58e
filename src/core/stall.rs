//! Finds the partitions that stand still: they have work, and have not moved on for too long. No clock; time is an
//! argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::partition::{Offset, TopicPartition};

/// What a partition that has work waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Records were taken off Kafka and are neither stored nor dead-lettered.
    Settlement,
    /// Records wait in Kafka, or nobody knows whether any do, and none arrives.
    Records,
    /// Everything is settled, and Kafka doesn't acknowledge the commit.
    CommitAnswer,
    /// It isn't known where to begin.
    Start,
}

/// Where a partition stands. While it has work, this must change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub committable: Option<Offset>,
    pub committed: Option<Offset>,
    /// `None` if there is nothing to do.
    pub waiting: Option<WaitsFor>,
}

/// A partition that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled {
    pub partition: TopicPartition,
    pub waiting: WaitsFor,
    pub since: Instant,
}

#[derive(Debug)]
pub struct StallWatch {
    bound: Duration,
    seen: HashMap<TopicPartition, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    standing: Standing,
    since: Instant,
}

impl StallWatch {
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            seen: HashMap::new(),
        }
    }

    /// Notes where every partition stands now. Returns those that stand still, ascending. A partition that is left
    /// out is forgotten.
    pub fn look(
        &mut self,
        now: Instant,
        standings: impl IntoIterator<Item = (TopicPartition, Standing)>,
    ) -> Vec<Stalled> {
        let before = std::mem::take(&mut self.seen);
        let mut stalled = Vec::new();
        for (partition, standing) in standings {
            let since = match before.get(&partition) {
                Some(seen) if seen.standing.is_where(standing) => seen.since,
                _ => now,
            };
            self.seen.insert(partition, Seen { standing, since });
            if let Some(waiting) = standing.waiting
                && now.duration_since(since) >= self.bound
            {
                stalled.push(Stalled {
                    partition,
                    waiting,
                    since,
                });
            }
        }
        stalled.sort_unstable_by_key(|stalled| stalled.partition);
        stalled
    }
}

impl Standing {
    /// Ours, and it isn't known yet where to begin.
    pub const BEFORE_START: Self = Self {
        committable: None,
        committed: None,
        waiting: Some(WaitsFor::Start),
    };

    /// Whether nothing has moved. Having work is part of it: the time before the work came doesn't count.
    fn is_where(self, other: Self) -> bool {
        self.committable == other.committable
            && self.committed == other.committed
            && self.waiting.is_some() == other.waiting.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: TopicPartition = TopicPartition::consumed(0);
    const BOUND: Duration = Duration::from_secs(60);

    fn standing(committable: i64, waiting: Option<WaitsFor>) -> Standing {
        Standing {
            committable: Some(Offset(committable)),
            committed: None,
            waiting,
        }
    }

    #[test]
    fn a_partition_stalls_when_it_has_work_and_does_not_move() {
        let mut watch = StallWatch::new(BOUND);
        let start = Instant::now();
        let mut look = |seconds, committable, waiting| {
            let now = start + Duration::from_secs(seconds);
            let stalled = watch.look(now, [(P, standing(committable, waiting))]);
            stalled
                .first()
                .map(|stalled| stalled.since.duration_since(start).as_secs())
        };
        let work = Some(WaitsFor::Settlement);
        assert_eq!(look(0, 5, None), None);
        assert_eq!(look(100, 5, None), None, "it has nothing to do");
        assert_eq!(look(110, 5, work), None, "the work has just come");
        assert_eq!(look(169, 5, work), None);
        assert_eq!(look(170, 5, work), Some(110));
        let other = Some(WaitsFor::Records);
        assert_eq!(
            look(171, 5, other),
            Some(110),
            "it waits for something else now"
        );
        assert_eq!(look(180, 6, work), None, "it has moved");
        assert_eq!(look(240, 6, work), Some(180));
        assert_eq!(look(241, 6, None), None, "the work is done");
    }

    #[test]
    fn a_partition_that_was_gone_begins_anew() {
        let mut watch = StallWatch::new(BOUND);
        let start = Instant::now();
        let work = (P, standing(5, Some(WaitsFor::Records)));
        watch.look(start, [work]);
        watch.look(start + BOUND / 2, []);
        assert_eq!(watch.look(start + BOUND, [work]), []);
        assert_eq!(watch.look(start + BOUND * 2, [work]).len(), 1);
    }
}
