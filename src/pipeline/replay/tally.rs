//! What a replay has done so far.

use std::collections::BTreeMap;

use super::super::messages::Outcome;
use crate::core::dead_letter::ReplayDecision;
use crate::core::rejection::Reason;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplayTally {
    /// Offsets from the beginning to the end of this replay.
    pub to_read: u64,
    pub read: u64,
    /// Of those read: taken to be replayed.
    pub taken: u64,
    /// Of those taken, what became of them.
    pub stored: u64,
    pub already_there: u64,
    pub published: u64,
    pub dead_lettered: BTreeMap<Reason, u64>,
    /// Of those read, what was passed over.
    pub other_reasons: u64,
    pub other_topics: u64,
    pub older: u64,
    pub replayed_enough: u64,
    pub without_value: u64,
    /// It ended before the end, by a signal or the limit.
    pub is_interrupted: bool,
    pub is_limited: bool,
}

impl ReplayTally {
    /// Those that have found their end.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let dead_lettered: u64 = self.dead_lettered.values().sum();
        self.stored + self.already_there + self.published + dead_lettered
    }

    pub(super) fn count(&mut self, choice: ReplayDecision) {
        self.read += 1;
        let counted = match choice {
            ReplayDecision::Take(_) => &mut self.taken,
            ReplayDecision::OtherReason => &mut self.other_reasons,
            ReplayDecision::OtherTopic => &mut self.other_topics,
            ReplayDecision::Older => &mut self.older,
            ReplayDecision::ReplayedEnough => &mut self.replayed_enough,
            ReplayDecision::WithoutValue => &mut self.without_value,
        };
        *counted += 1;
    }

    /// `publishes`: that Kafka has acknowledged a record means that it was published.
    pub(super) fn settle(&mut self, outcome: Outcome, messages: usize, publishes: bool) {
        let counted = match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Replayed => &mut self.already_there,
            Outcome::DeadLettered(_) if publishes => &mut self.published,
            Outcome::DeadLettered(reason) => self.dead_lettered.entry(reason).or_default(),
        };
        *counted += u64::try_from(messages).unwrap_or(u64::MAX);
    }
}
