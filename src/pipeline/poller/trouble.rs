//! What a poll says is wrong: what ends the process, what is waited for, what is only said.

use std::time::{Duration, Instant};

use log::warn;

use super::super::failure::Failure;
use super::{FILL_POLL, State};
use crate::kafka::{KafkaError, TopicState, Trouble};

/// How often a missing topic is looked for.
const TOPIC_INTERVAL: Duration = Duration::from_secs(3);
/// The longest look for it.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(2);

impl State {
    /// A standby gets nothing assigned that would tell it that a missing topic is there now.
    pub(super) fn look_for_topic(&mut self) {
        let now = Instant::now();
        let is_due =
            |missed: Instant| now.duration_since(missed) >= TOPIC_INTERVAL && self.hand.is_empty();
        if !self.topic_missed.is_some_and(is_due) {
            return;
        }
        let state = self.poller.consumer.topic_state(TOPIC_TIMEOUT);
        let is_there = matches!(state, Ok(TopicState::Partitions(_)));
        if is_there {
            self.poller.health.set_topic_exists(true);
        }
        self.topic_missed = (!is_there).then_some(now);
    }

    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<(), Failure> {
        match trouble {
            Trouble::Fatal(error) => return Err(fatal(&error)),
            Trouble::BrokersDown => {
                // One request waiting is enough.
                let _ = self.poller.brokers_down.try_send(());
                self.log_trouble("no broker can be reached");
            }
            Trouble::TopicMissing => {
                self.topic_missed = Some(Instant::now());
                self.poller.health.set_topic_exists(false);
                let text = format!(
                    "the topic `{}` is missing: waiting for it",
                    self.poller.topic
                );
                self.log_trouble(&text);
            }
            Trouble::Passing(error) => self.log_trouble(&error.to_string()),
        }
        // Errors may come without a pause between them.
        let _ = self.poller.stop.wait(FILL_POLL);
        Ok(())
    }

    fn log_trouble(&self, what: &str) {
        if let Some(suppressed) = self.troubles.admit(Instant::now()) {
            warn!(suppressed; "{what}");
        }
    }
}

pub(super) fn fatal(error: &KafkaError) -> Failure {
    Failure::Running(format!("the Kafka client can't go on: {error}"))
}
