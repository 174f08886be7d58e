//! What the dispatcher and the committer report to the worker or to a replay.

use std::time::{Duration, Instant};

use super::messages::Settlement;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::{Timestamp, Weight};
use crate::core::stall::Stalled;

/// Called for each of these events. The methods must not wait. The worker turns the events into metrics and health; a
/// replay counts them.
pub trait CommitObserver: Send + Sync {
    /// Records of this weight were dispatched; `in_flight` is the sum now.
    fn dispatched(&self, _weight: Weight, _in_flight: Weight) {}
    fn settled(&self, _settlement: &Settlement) {}
    fn abandoned(&self, _weight: Weight) {}
    fn in_flight_changed(&self, _in_flight: Weight) {}
    /// When the oldest unsettled record was taken off Kafka.
    fn oldest_in_flight(&self, _taken_at: Option<Instant>) {}
    /// How many offsets lie between the committable offset and the partition's end, and when the oldest record was
    /// written that isn't committed.
    fn lag(&self, _partition: TopicPartition, _lag: u64, _oldest: Option<Timestamp>) {}
    /// How many records of the partition are taken off Kafka and not settled.
    fn partition_in_flight(&self, _partition: TopicPartition, _records: usize) {}
    /// These partitions stand still. Called when the list changes.
    fn stalled(&self, _partitions: &[Stalled]) {}
    /// The partition is no longer ours: nothing more is reported of it.
    fn forgotten(&self, _partition: TopicPartition) {}
    fn committed(&self, _partition: TopicPartition, _offset: Offset) {}
    fn commit_took(&self, _duration: Duration) {}
    fn commit_failed(&self) {}
}
