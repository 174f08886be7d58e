//! The end of a partition, and the lag behind it.

use super::offset_tracker::PartitionProgress;
use super::partition::{Offset, TopicPartition};

/// How far a partition can be read at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOffset {
    pub partition: TopicPartition,
    /// Its last stable offset: the next one to be written or, under transactions, to become readable.
    pub offset: Offset,
    /// Everything below the end was handed over. A compacted log may end in offsets without a record.
    pub is_reached: bool,
}

impl EndOffset {
    /// How many offsets lie between the committable offset and the end.
    pub fn lag(self, progress: PartitionProgress) -> u64 {
        if self.is_reached && progress.is_settled {
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
    fn a_log_that_ends_without_records_has_no_lag_once_its_end_is_reached() {
        let progress = |is_settled| PartitionProgress {
            committable: Offset(7),
            committed: None,
            is_settled,
            oldest_uncommitted: None,
            last_settled_at: None,
        };
        let end = |is_reached| EndOffset {
            partition: TopicPartition::consumed(0),
            offset: Offset(10),
            is_reached,
        };
        assert_eq!(end(false).lag(progress(true)), 3);
        assert_eq!(end(true).lag(progress(true)), 0);
        assert_eq!(end(true).lag(progress(false)), 3, "a record is in flight");
    }
}
