//! Which partitions are ours now, and since which epoch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::core::partition::{Epoch, Offset, TopicPartition};

/// A partition that is ours and is read from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignedPartition {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    pub start: Offset,
    /// What the group has committed. `None`: a commit of `start` is due at once.
    pub committed: Option<Offset>,
}

/// The current assignment. The rebalance callback changes it. So does the poller if a new epoch has to begin, because
/// a log was truncated or recreated. Both run on the poller's thread. Writers drop the records of partitions that were
/// taken away, and every commit is filtered by the assignment. It is shared behind a lock, because a message to those
/// threads would arrive too late.
#[derive(Debug, Default)]
pub struct Assignment {
    partitions: RwLock<BTreeMap<TopicPartition, PartitionState>>,
    version: AtomicU64,
    next_epoch: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum PartitionState {
    /// Ours, but not read before its starting offset is known.
    WaitingForStart {
        /// The epoch in which a log was read that was recreated. The beginning of the new log is committed in its name.
        before: Option<Epoch>,
    },
    Read {
        epoch: Epoch,
        start: Offset,
    },
}

impl Assignment {
    /// Begins a new epoch of `partition`, to be read from `start`.
    pub fn begin(&self, partition: TopicPartition, start: Offset) -> Epoch {
        let epoch = Epoch(self.next_epoch.fetch_add(1, Ordering::Relaxed));
        self.write(|partitions| {
            partitions.insert(partition, PartitionState::Read { epoch, start });
        });
        epoch
    }

    /// `partition` is ours, but nothing of it is read before [`Assignment::begin`]. It will begin at the beginning of its
    /// log.
    pub fn wait_for_start(&self, partition: TopicPartition) {
        self.write(|partitions| {
            let before = match partitions.get(&partition) {
                Some(&PartitionState::Read { epoch, .. }) => Some(epoch),
                Some(&PartitionState::WaitingForStart { before }) => before,
                None => None,
            };
            partitions.insert(partition, PartitionState::WaitingForStart { before });
        });
    }

    /// The partitions whose starting offsets aren't known yet.
    pub fn waiting_for_start(&self) -> Vec<TopicPartition> {
        self.read(|partitions| {
            let waiting = partitions
                .iter()
                .filter_map(|(&partition, state)| match state {
                    PartitionState::WaitingForStart { .. } => Some(partition),
                    PartitionState::Read { .. } => None,
                });
            waiting.collect()
        })
    }

    pub fn end(&self, partition: TopicPartition) {
        self.write(|partitions| {
            partitions.remove(&partition);
        });
    }

    /// The current epoch of `partition`, and the offset at which it began.
    pub fn current(&self, partition: TopicPartition) -> Option<(Epoch, Offset)> {
        self.read(|partitions| match partitions.get(&partition) {
            Some(&PartitionState::Read { epoch, start }) => Some((epoch, start)),
            Some(PartitionState::WaitingForStart { .. }) | None => None,
        })
    }

    pub fn is_current(&self, partition: TopicPartition, epoch: Epoch) -> bool {
        self.current(partition)
            .is_some_and(|(current, _)| current == epoch)
    }

    /// Whether offsets of this epoch may be committed: also while the partition waits for its next epoch.
    pub fn may_commit(&self, partition: TopicPartition, epoch: Epoch) -> bool {
        self.read(|partitions| match partitions.get(&partition) {
            Some(&PartitionState::Read { epoch: current, .. }) => current == epoch,
            Some(&PartitionState::WaitingForStart { before }) => before == Some(epoch),
            None => false,
        })
    }

    /// All partitions that are ours, whether they are read already or not.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.read(|partitions| partitions.keys().copied().collect())
    }

    /// A number that grows with each change of the assignment.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<TopicPartition, PartitionState>) -> T) -> T {
        look(
            &self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<TopicPartition, PartitionState>)) {
        change(
            &mut self
                .partitions
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.version.fetch_add(1, Ordering::Release);
    }
}
