//! What the consumer tells the worker, about a rebalance above all.

use rdkafka::error::KafkaError as ClientError;

use super::assignment::AssignedPartition;
use super::errors::is_authorization;
use crate::core::end_offset::EndOffset;
use crate::core::flood::RejectionCount;
use crate::core::partition::{Offset, TopicPartition};

/// What the consumer tells the worker. `revoke` may take long. The other methods wait at most for room in the
/// committer's channel.
pub trait RebalanceListener: Send + Sync {
    /// What the commit says that this assigned partition goes on from. Called before any record of it is delivered.
    fn rejections_counted(&self, assigned: &AssignedPartition, count: RejectionCount);
    /// Called before any record of these partitions is delivered. An empty list means that nothing was added: the
    /// process is a standby, or keeps the partitions that it has.
    fn assigned(&self, assigned: &[AssignedPartition]);
    /// Drains and commits these partitions. Returns when that is done, or when its time is up.
    fn revoke(&self, partitions: &[TopicPartition]);
    /// These partitions are ours, but their starting offsets aren't known yet.
    fn waiting_for_start(&self, partitions: &[TopicPartition]);
    /// These partitions were assigned earlier. Now their starting offsets are known, and they are read.
    fn started(&self, started: &[AssignedPartition]);
    /// These partitions were taken away: nothing may be committed for them.
    fn lost(&self, partitions: &[TopicPartition]);
    /// The topic was deleted and recreated: nothing that was read of these partitions may be committed. The beginning of
    /// the new topic is.
    fn recreated(&self, partitions: &[TopicPartition]);
    /// Retention has deleted the records from `from` up to `to` before the group read them.
    fn skipped(&self, partition: TopicPartition, from: Offset, to: Offset);
    /// A partition was recreated or truncated while nobody read it.
    fn log_reset(&self);
    /// How far each partition can be read at present.
    fn end_offsets(&self, end_offsets: Vec<EndOffset>);
    /// The assigned partitions that have no leader at present.
    fn leaderless(&self, partitions: &[TopicPartition]);
    /// Whether any broker is connected.
    fn broker_up(&self, any: bool);
    fn poll_interval_exceeded(&self);
    /// The starting offsets of the assigned partitions can't be found out, so this process can't read them.
    fn failed(&self, error: StartError);
}

/// Why the starting offsets of the assigned partitions can't be found out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// An operator has to grant a right.
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    NoAnswer(String),
}

impl StartError {
    pub(super) fn of(error: &ClientError) -> Self {
        let why = error.to_string();
        if is_authorization(error) {
            Self::Unauthorized(why)
        } else {
            Self::NoAnswer(why)
        }
    }
}
