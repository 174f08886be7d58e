//! Which dead letters an intake of the dead letter topic takes. All others are passed over.

use std::time::Instant;

use log::{Level, error};

use crate::core::dead_letter::{ReplayCriteria, ReplayDecision};
use crate::core::record::OriginalRecord;
use crate::kafka::ConsumedMessage;
use crate::observe::log::RateLimited;

/// Letters that are passed over fill no batch. After so many of them the poller looks around as after a batch.
const LOOK_AFTER: usize = 1000;

pub struct Letters {
    criteria: ReplayCriteria,
    /// Passed over since the last look around.
    passed_over: usize,
    lost_values: RateLimited,
}

const WITHOUT_VALUE: &str = "a dead letter can't be stored: its value was left out, because it was too large for the dead \
     letter topic; the message itself is in the consumed topic, as long as that keeps it";

impl Letters {
    pub fn new(criteria: ReplayCriteria) -> Self {
        Self {
            criteria,
            passed_over: 0,
            lost_values: RateLimited::new(Level::Error, WITHOUT_VALUE),
        }
    }

    /// Where a letter's message came from. `None` if the letter is passed over.
    pub fn select(&mut self, letter: &ConsumedMessage<'_>) -> Option<OriginalRecord> {
        let written_at = letter.timestamp().instant();
        let headers = letter.dead_letter_headers();
        match self.criteria.decide(&headers, written_at) {
            ReplayDecision::Take(original) => Some(original),
            ReplayDecision::WithoutValue => {
                if let Some(suppressed) = self.lost_values.admit(Instant::now()) {
                    let partition = headers.partition.map(|partition| partition.number);
                    let offset = headers.offset.map(|offset| offset.0);
                    error!(topic = headers.topic, partition, offset, suppressed; "{WITHOUT_VALUE}");
                }
                self.passed_over += 1;
                None
            }
            ReplayDecision::OtherReason
            | ReplayDecision::OtherTopic
            | ReplayDecision::OtherGroup
            | ReplayDecision::Older
            | ReplayDecision::ReplayedEnough => {
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
