//! Which partitions are ours now, and since which epoch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::partition::{Epoch, Offset, Partition};

/// The current assignment. The rebalance callback alone changes it; the writers drop the records of
/// partitions that are gone, and a commit is filtered by it immediately before the call. It is shared
/// under a lock because a message to those threads would come after the fact.
#[derive(Debug, Default)]
pub struct Assignment {
    partitions: RwLock<BTreeMap<Partition, Ours>>,
    version: AtomicU64,
    epochs: AtomicU64,
}

/// A partition that is ours.
#[derive(Debug, Clone, Copy)]
struct Ours {
    epoch: Epoch,
    start: Offset,
}

impl Assignment {
    /// Begins a new epoch of `partition`, to be read from `start`.
    pub fn begin(&self, partition: Partition, start: Offset) -> Epoch {
        let epoch = Epoch(self.epochs.fetch_add(1, Ordering::Relaxed));
        self.write(|partitions| {
            partitions.insert(partition, Ours { epoch, start });
        });
        epoch
    }

    pub fn end(&self, partition: Partition) {
        self.write(|partitions| {
            partitions.remove(&partition);
        });
    }

    #[must_use]
    pub fn epoch(&self, partition: Partition) -> Option<Epoch> {
        self.read(|partitions| partitions.get(&partition).map(|ours| ours.epoch))
    }

    /// Where reading `partition` began.
    #[must_use]
    pub fn start(&self, partition: Partition) -> Option<Offset> {
        self.read(|partitions| partitions.get(&partition).map(|ours| ours.start))
    }

    #[must_use]
    pub fn is_current(&self, partition: Partition, epoch: Epoch) -> bool {
        self.epoch(partition) == Some(epoch)
    }

    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        self.read(|partitions| partitions.keys().copied().collect())
    }

    /// Changes with each change of the assignment.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<Partition, Ours>) -> T) -> T {
        look(
            &self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn write(&self, change: impl FnOnce(&mut BTreeMap<Partition, Ours>)) {
        change(
            &mut self
                .partitions
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.version.fetch_add(1, Ordering::Release);
    }
}
