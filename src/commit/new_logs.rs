//! The beginnings of logs that were recreated under this worker. They are committed at once, while what was read of the
//! old logs is still being settled: until then the group's commits may be offsets of the old logs, and a restart would
//! go on there.

use std::collections::BTreeMap;

use crate::core::offset_tracker::Commit;
use crate::core::partition::{Epoch, Offset, TopicPartition};

/// The first offset of every log. Where retention has moved the beginning since then, a restart finds out.
const BEGINNING: Offset = Offset(0);

/// The commits that are due.
#[derive(Debug, Default)]
pub(super) struct NewLogs(BTreeMap<TopicPartition, Commit>);

impl NewLogs {
    /// `epoch` is that of the old log: the partition is this process's as long as it is current.
    pub(super) fn add(&mut self, partition: TopicPartition, epoch: Epoch) {
        let commit = Commit {
            partition,
            epoch,
            offset: BEGINNING,
        };
        self.0.insert(partition, commit);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn due(&self) -> impl Iterator<Item = Commit> {
        self.0.values().copied()
    }

    /// The broker has acknowledged this commit, which may be one from before.
    pub(super) fn committed(&mut self, commit: Commit) {
        if self.0.get(&commit.partition) == Some(&commit) {
            self.0.remove(&commit.partition);
        }
    }

    /// The partition begins anew, or is no longer ours.
    pub(super) fn forget(&mut self, partition: TopicPartition) {
        self.0.remove(&partition);
    }
}
