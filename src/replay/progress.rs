//! How far a replay has come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::commit::{CommitObserver, Outcome, Settlement};
use crate::core::dead_letter::ReplayDecision;
use crate::core::record::Weight;
use crate::core::rejection::Reason;

/// What a replay has done so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplayTally {
    /// Offsets from the beginning to the end of this replay.
    pub to_read: u64,
    pub read: u64,
    /// Of those read: selected to be replayed.
    pub selected: u64,
    /// Of those selected: how they ended.
    pub settled: SettledCounts,
    /// Of those read: passed over, by the cause.
    pub other_reasons: u64,
    pub other_topics: u64,
    pub other_groups: u64,
    pub older: u64,
    pub replayed_enough: u64,
    pub without_value: u64,
    /// A signal ended the replay early.
    pub is_interrupted: bool,
    /// The limit ended the replay early.
    pub is_limited: bool,
}

/// Shows how far a replay has come.
pub(super) type Show<'a> = &'a mut dyn FnMut(&ReplayTally);

/// How replayed letters, or the messages of a repair, ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SettledCounts {
    pub stored: u64,
    pub already_stored: u64,
    pub published: u64,
    pub dead_lettered: BTreeMap<Reason, u64>,
}

impl ReplayTally {
    pub(super) fn count(&mut self, decision: ReplayDecision) {
        self.read += 1;
        let counted = match decision {
            ReplayDecision::Take(_) => &mut self.selected,
            ReplayDecision::OtherReason => &mut self.other_reasons,
            ReplayDecision::OtherTopic => &mut self.other_topics,
            ReplayDecision::OtherGroup => &mut self.other_groups,
            ReplayDecision::Older => &mut self.older,
            ReplayDecision::ReplayedEnough => &mut self.replayed_enough,
            ReplayDecision::WithoutValue => &mut self.without_value,
        };
        *counted += 1;
    }
}

impl SettledCounts {
    pub fn sum(&self) -> u64 {
        let dead_lettered: u64 = self.dead_lettered.values().sum();
        self.stored + self.already_stored + self.published + dead_lettered
    }

    pub(super) fn add(&mut self, outcome: Outcome, messages: usize) {
        let counted = match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::AlreadyStored => &mut self.already_stored,
            Outcome::Published => &mut self.published,
            Outcome::DeadLettered(reason) => self.dead_lettered.entry(reason).or_default(),
        };
        *counted += u64::try_from(messages).unwrap_or(u64::MAX);
    }
}

/// Counts how letters end. The committer's thread writes, the replayer's thread reads.
#[derive(Default)]
pub(super) struct ReplayProgress {
    settled: Mutex<SettledCounts>,
    is_any_abandoned: AtomicBool,
}

impl ReplayProgress {
    pub(super) fn settled(&self) -> SettledCounts {
        let settled = self.settled.lock();
        settled.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any letter was abandoned, by a writer or by a failed delivery.
    pub(super) fn is_any_abandoned(&self) -> bool {
        self.is_any_abandoned.load(Ordering::Acquire)
    }
}

impl CommitObserver for ReplayProgress {
    fn settled(&self, settlement: &Settlement) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.add(settlement.outcome, settlement.weight.messages);
    }

    fn abandoned(&self, _weight: Weight) {
        self.is_any_abandoned.store(true, Ordering::Release);
    }
}
