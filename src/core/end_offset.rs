//! The end of a partition, and the lag behind it.

use super::offset_tracker::PartitionProgress;
use super::partition::{Offset, TopicPartition};

/// How far a partition can be read at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOffset {
    pub partition: TopicPartition,
    /// Its last stable offset: the next one to be written or, under transactions, to become readable.
    pub offset: Offset,
    /// Everything below the end was fetched. A compacted log may end in offsets without a record.
    pub is_reached: bool,
    /// Everything below the end was fetched and handed over. Not known while messages of other partitions wait.
    pub is_drained: bool,
}

impl EndOffset {
    /// Whether records wait in Kafka. While others keep the client busy, fetched ones wait only for a moment.
    pub fn has_records(self, progress: PartitionProgress) -> bool {
        !self.is_reached && self.lag(progress) > 0
    }

    /// How many offsets lie between the committable offset and the end.
    pub fn lag(self, progress: PartitionProgress) -> u64 {
        if self.is_drained && progress.is_settled {
            0
        } else {
            self.offset.since(progress.committable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_waits_only_while_it_is_in_flight() {
        let mut end = EndOffset {
            partition: TopicPartition::consumed(0),
            offset: Offset(10),
            is_reached: false,
            is_drained: false,
        };
        assert!(end.has_records(progress(true)));
        end.is_reached = true;
        assert!(!end.has_records(progress(true)));
    }

    fn progress(is_settled: bool) -> PartitionProgress {
        PartitionProgress {
            committable: Offset(7),
            committed: None,
            is_settled,
            oldest_uncommitted: None,
            last_settled_at: None,
        }
    }

    #[test]
    fn a_log_that_ends_without_records_has_no_lag_once_its_end_is_reached() {
        let end = |is_drained| EndOffset {
            partition: TopicPartition::consumed(0),
            offset: Offset(10),
            is_reached: is_drained,
            is_drained,
        };
        assert_eq!(end(false).lag(progress(true)), 3);
        assert_eq!(end(true).lag(progress(true)), 0);
        assert_eq!(end(true).lag(progress(false)), 3, "a record is in flight");
    }
}
