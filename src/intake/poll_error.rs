//! What a failed poll means: some errors end the process, some are waited out, some are only logged.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{Level, warn};

use crate::failure::Failure;
use crate::kafka::{KafkaConsumer, PollError, TopicState};
use crate::observe::health::Health;
use crate::observe::log::RateLimited;

/// How often a missing topic is looked for.
const TOPIC_INTERVAL: Duration = Duration::from_secs(3);
/// The longest that one look for the topic may take.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(2);

pub struct PollErrorHandler {
    /// Asks the Kafka watch to find out whether Kafka can be reached.
    brokers_down: Sender<()>,
    topic: String,
    group: String,
    health: Arc<Health>,
    /// When the topic was last found missing. `None` if it exists. At the start it counts as missing, so that it is
    /// looked for.
    topic_missed_at: Option<Instant>,
    log: RateLimited,
}

impl PollErrorHandler {
    pub fn new(
        brokers_down: Sender<()>,
        topic: String,
        group: String,
        health: Arc<Health>,
        now: Instant,
    ) -> Self {
        Self {
            brokers_down,
            topic,
            group,
            health,
            topic_missed_at: Some(now),
            log: RateLimited::new(Level::Warn, "an error while polling Kafka"),
        }
    }

    /// Fails when the client can't continue.
    pub fn handle(&mut self, error: PollError) -> Result<(), Failure> {
        match error {
            PollError::Fatal(error) if error.is_about_the_group_protocol() => {
                return Err(Failure::kafka_refused().because(error));
            }
            PollError::Fatal(error) => {
                let (topic, group) = (&self.topic, &self.group);
                let why = format!(
                    "the Kafka client can't go on with the topic `{topic}` and the consumer group `{group}`"
                );
                let failure = if error.is_authorization() {
                    Failure::kafka_refused_worker(format!("Kafka refused the worker: {why}"))
                } else {
                    Failure::running(why)
                };
                return Err(failure.because(error));
            }
            PollError::BrokersDown => {
                // If the channel is full, a request waits already, and a second one isn't needed.
                let _ = self.brokers_down.try_send(());
                self.warn("no broker can be reached");
            }
            PollError::TopicMissing => {
                self.topic_missed_at = Some(Instant::now());
                self.health.set_topic_exists(false);
                self.warn(&format!(
                    "the topic `{}` is missing: waiting for it",
                    self.topic
                ));
            }
            PollError::Transient(error) => self.warn(&error.to_string()),
        }
        Ok(())
    }

    /// Looks for a missing topic now and then. A member without partitions (a standby) wouldn't notice otherwise that
    /// the topic exists now.
    pub fn look_for_topic(&mut self, consumer: &KafkaConsumer) {
        let now = Instant::now();
        let is_due = |missed: Instant| now.duration_since(missed) >= TOPIC_INTERVAL;
        if !self.topic_missed_at.is_some_and(is_due) {
            return;
        }
        let state = consumer.topic_state(TOPIC_TIMEOUT);
        let exists = matches!(state, Ok(TopicState::Available(_)));
        if exists {
            self.health.set_topic_exists(true);
        }
        self.topic_missed_at = (!exists).then_some(now);
    }

    fn warn(&self, text: &str) {
        if let Some(suppressed) = self.log.admit(Instant::now()) {
            warn!(suppressed; "{text}");
        }
    }
}

pub fn client_failed(error: impl Error + Send + Sync + 'static) -> Failure {
    Failure::running("the Kafka client can't go on").because(error)
}
