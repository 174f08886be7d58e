//! How far a repair has come.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::progress::SettledCounts;
use crate::commit::{CommitObserver, Settlement};
use crate::core::offset_tracker::Commit;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::Weight;
use crate::kafka::{CommitError, CommitOffsets};

/// Accepts every commit and does nothing: a repair moves no group.
pub(super) struct NothingToCommit;

impl CommitOffsets for NothingToCommit {
    fn commit(&self, _commits: &[Commit]) -> Option<Result<(), CommitError>> {
        Some(Ok(()))
    }
}

/// Notes how messages end, and below which offsets all of them have ended. The committer's thread writes, the audit's
/// thread reads.
#[derive(Default)]
pub(super) struct RepairProgress(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    settled: BTreeMap<TopicPartition, SettledCounts>,
    repaired_to: BTreeMap<TopicPartition, Offset>,
    is_any_abandoned: bool,
}

impl RepairProgress {
    pub(super) fn settled(&self) -> BTreeMap<TopicPartition, SettledCounts> {
        self.noted().settled.clone()
    }

    pub(super) fn repaired_to(&self) -> BTreeMap<TopicPartition, Offset> {
        self.noted().repaired_to.clone()
    }

    pub(super) fn is_any_abandoned(&self) -> bool {
        self.noted().is_any_abandoned
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitObserver for RepairProgress {
    fn settled(&self, settlement: &Settlement) {
        let settled = &mut self.noted().settled;
        for run in &settlement.runs {
            let counts = settled.entry(run.partition).or_default();
            counts.add(settlement.outcome, run.count());
        }
    }

    fn abandoned(&self, _weight: Weight) {
        self.noted().is_any_abandoned = true;
    }

    fn committed(&self, partition: TopicPartition, offset: Offset) {
        self.noted().repaired_to.insert(partition, offset);
    }
}
