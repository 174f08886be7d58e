//! Whether Kafka can be reached: asked at the start, and again whenever all brokers are down.

use std::sync::Weak;
use std::time::Duration;

use crossbeam_channel::Receiver;
use log::{info, warn};

use super::batch_write::delays;
use super::failure::Failure;
use super::stop::StopSignal;
use crate::kafka::{KafkaConsumer, TopicState};
use backoff::backoff::Backoff as _;

/// The longest that one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How often Kafka is asked before it counts as unreachable.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    pub count: u32,
    pub first_delay: Duration,
}

/// Asks for the topic until a broker answers; does `meanwhile` after each failure. `None` when the stop
/// came first.
///
/// # Errors
/// When the attempts are used up.
pub fn reach_kafka(
    consumer: &KafkaConsumer,
    attempts: Attempts,
    stop: &StopSignal,
    meanwhile: impl Fn(),
) -> Result<Option<TopicState>, Failure> {
    let mut delays = delays(attempts.first_delay);
    let mut attempt = 1;
    loop {
        let error = match consumer.topic_state(ATTEMPT) {
            Ok(state) => return Ok(Some(state)),
            Err(error) => error,
        };
        meanwhile();
        if attempt >= attempts.count {
            return Err(Failure::KafkaUnreachable(format!(
                "{error} ({attempt} attempts)"
            )));
        }
        warn!(attempt; "Kafka could not be reached, trying again: {error}");
        attempt += 1;
        if stop.wait(delays.next_backoff().unwrap_or(ATTEMPT)) {
            return Ok(None);
        }
    }
}

/// The thread that asks when the poller says that all brokers are down, so that the poller goes on
/// polling meanwhile.
pub struct KafkaWatch {
    pub brokers_down: Receiver<()>,
    /// Weak: the poller is to be the last to hold it.
    pub consumer: Weak<KafkaConsumer>,
    pub attempts: Attempts,
    pub stop: StopSignal,
}

impl KafkaWatch {
    /// Runs until the poller is gone.
    ///
    /// # Errors
    /// When Kafka stays away.
    pub fn run(self) -> Result<(), Failure> {
        while self.brokers_down.recv().is_ok() && !self.stop.is_stopping() {
            let Some(consumer) = self.consumer.upgrade() else {
                break;
            };
            if reach_kafka(&consumer, self.attempts, &self.stop, || {})?.is_some() {
                info!("Kafka can be reached again");
            }
        }
        Ok(())
    }
}
