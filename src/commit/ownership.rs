//! Whether a partition still belongs to this process.

use std::sync::Arc;

use crate::core::partition::{Epoch, RecordId, TopicPartition};
use crate::kafka::Assignment;

/// Whether records of a partition are still this process's to store and commit.
#[derive(Clone)]
pub enum Ownership {
    /// The group assigns the partitions, and may take them away.
    Assigned(Arc<Assignment>),
    /// This group has no members, so no partition can be taken away.
    Exclusive,
}

impl Ownership {
    pub fn may_commit(&self, partition: TopicPartition, epoch: Epoch) -> bool {
        match self {
            Self::Assigned(assignment) => assignment.may_commit(partition, epoch),
            Self::Exclusive => true,
        }
    }

    pub fn is_ours(&self, id: RecordId) -> bool {
        match self {
            Self::Assigned(assignment) => assignment.is_current(id.partition, id.epoch),
            Self::Exclusive => true,
        }
    }
}
