//! Runs of records with consecutive offsets. Messages between threads name runs, so that their cost
//! doesn't grow with the number of records.

use super::partition::{Epoch, Offset, RecordId, TopicPartition};

/// Records of one partition and epoch, with every offset from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRun {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    pub first: Offset,
    pub last: Offset,
}

impl RecordRun {
    /// A run of one record.
    pub fn of(id: RecordId) -> Self {
        Self {
            partition: id.partition,
            epoch: id.epoch,
            first: id.offset,
            last: id.offset,
        }
    }

    /// The number of records.
    pub fn count(self) -> usize {
        usize::try_from(self.last.next().since(self.first)).unwrap_or(usize::MAX)
    }

    /// All offsets of the run, ascending.
    pub fn offsets(self) -> impl Iterator<Item = Offset> {
        (self.first.0..=self.last.0).map(Offset)
    }

    /// Joins `ids` into runs, in the order given.
    pub fn collect(ids: impl IntoIterator<Item = RecordId>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for id in ids {
            match runs.last_mut() {
                Some(run) if run.is_followed_by(id) => run.last = id.offset,
                _ => runs.push(Self::of(id)),
            }
        }
        runs
    }

    fn is_followed_by(self, id: RecordId) -> bool {
        self.partition == id.partition && self.epoch == id.epoch && self.last.next() == id.offset
    }
}
