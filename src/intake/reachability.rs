//! Finds out whether Kafka can be reached: at the start, and again whenever all brokers are down.

use std::sync::Weak;
use std::time::Duration;

use crossbeam_channel::Receiver;
use log::{info, warn};

use crate::failure::Failure;
use crate::kafka::{KafkaConsumer, TopicState};
use crate::runtime::{Delays, RetryError, StopSignal, retry};

/// The longest wait for one answer. An attempt asks two questions.
const LONGEST_QUESTION: Duration = Duration::from_secs(5);

/// How often Kafka is asked before it counts as unreachable.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    pub count: u32,
    pub first_delay: Duration,
}

/// Asks for the topic and its offsets until a broker answers. Calls `after_failure` after each failed attempt, and
/// `beat` while it waits. Returns `None` if the stop came first. Fails when the attempts are used up.
pub fn reach_kafka(
    consumer: &KafkaConsumer,
    attempts: Attempts,
    stop: &StopSignal,
    beat: impl Fn(),
    after_failure: impl Fn(),
) -> Result<Option<TopicState>, Failure> {
    let delays = Delays::doubling(attempts.first_delay);
    let mut cause = None;
    retry(stop, delays, beat, |attempt| {
        let error = match consumer.reach(LONGEST_QUESTION) {
            Ok(state) => return Ok(state),
            Err(error) => error,
        };
        after_failure();
        // The error says that there was no answer. The client reports separately why a connection failed, and doesn't repeat
        // it at each attempt.
        cause = consumer.connection_error().or(cause.take());
        let error = match &cause {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        if attempt >= attempts.count {
            let why = format!("{error} ({attempt} attempts)");
            return Err(RetryError::Final(Failure::kafka_unreachable().because(why)));
        }
        warn!(attempt; "Kafka could not be reached, trying again: {error}");
        Err(RetryError::Again)
    })
}

/// The thread that asks whether Kafka can be reached when the poller reports that all brokers are down. The
/// poller goes on polling meanwhile.
pub struct KafkaWatch {
    pub brokers_down: Receiver<()>,
    /// Weak, because the poller has to be the last to hold the consumer.
    pub consumer: Weak<KafkaConsumer>,
    pub attempts: Attempts,
    pub stop: StopSignal,
}

impl KafkaWatch {
    /// Runs until the poller is gone. Fails when Kafka can't be reached within the attempts.
    pub fn run(self) -> Result<(), Failure> {
        while self.brokers_down.recv().is_ok() && !self.stop.is_stopping() {
            let Some(consumer) = self.consumer.upgrade() else {
                break;
            };
            if reach_kafka(&consumer, self.attempts, &self.stop, || {}, || {})?.is_some() {
                info!("Kafka can be reached again");
            }
        }
        Ok(())
    }
}
