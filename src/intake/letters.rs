//! Which dead letters an intake of the dead letter topic takes. All others are passed over.

use crate::core::dead_letter::{ReplayCriteria, ReplayDecision};
use crate::core::record::OriginalRecord;
use crate::kafka::ConsumedMessage;

/// Letters that are passed over fill no batch. After so many of them the poller looks around as after a batch.
const LOOK_AFTER: usize = 1000;

pub struct Letters {
    criteria: ReplayCriteria,
    /// Passed over since the last look around.
    passed_over: usize,
}

impl Letters {
    pub fn new(criteria: ReplayCriteria) -> Self {
        Self {
            criteria,
            passed_over: 0,
        }
    }

    /// Where a letter's message came from. `None` if the letter is passed over.
    pub fn select(&mut self, letter: &ConsumedMessage<'_>) -> Option<OriginalRecord> {
        let written_at = letter.timestamp().instant();
        match self
            .criteria
            .decide(&letter.dead_letter_headers(), written_at)
        {
            ReplayDecision::Take(original) => Some(original),
            ReplayDecision::OtherReason
            | ReplayDecision::OtherTopic
            | ReplayDecision::OtherGroup
            | ReplayDecision::Older
            | ReplayDecision::ReplayedEnough
            | ReplayDecision::WithoutValue => {
                self.passed_over += 1;
                None
            }
        }
    }

    /// Whether so many letters were passed over that it is time to look around. Counts anew then.
    pub fn is_look_due(&mut self) -> bool {
        let is_due = self.passed_over >= LOOK_AFTER;
        if is_due {
            self.passed_over = 0;
        }
        is_due
    }
}
