//! The dead letter producer. A dead letter is settled by its delivery report, never by the send.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::delivery::{Delivery, DeliveryContext, DeliveryListener, Producer, Shared, record};
use super::delivery_window::DeliveryWindow;
use super::errors::KafkaResult;
use super::undeliverable::Undeliverable;
use super::{headers, settings};
use crate::config::Config;
use crate::core::dead_letter::Header as DeadLetterHeader;
use crate::core::record::OpaqueHeaders;

/// How long one poll for delivery reports takes at most; reports are handled as they come.
const REPORT_POLL: Duration = Duration::from_millis(100);

/// How often a producer without anything in flight is polled, for its log lines.
const IDLE_POLL: Duration = Duration::from_secs(1);

/// A record on its way to the dead letter topic.
pub struct DeadLetter<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub original_headers: Option<&'a OpaqueHeaders>,
    pub headers: &'a [DeadLetterHeader],
}

impl DeadLetter<'_> {
    /// The bytes of the key, the value and the headers.
    fn size(&self) -> usize {
        let own = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        self.key.map_or(0, <[u8]>::len)
            + self.value.map_or(0, <[u8]>::len)
            + self.original_headers.map_or(0, OpaqueHeaders::size)
            + own.sum::<usize>()
    }
}

/// Why a dead letter could not be handed to the producer. Gives the listener back, which was not called.
pub enum SendError {
    /// As many letters are under way as there may be: the same may succeed later.
    NoRoom(Box<dyn DeliveryListener>),
    Refused(Box<dyn DeliveryListener>, Undeliverable),
}

/// One for all writers. It has a producer that sends dead letters together, and one that sends each in a
/// batch of its own, for those that the broker refused together with others.
pub struct DeadLetterProducer {
    shared: Arc<Shared>,
    together: Arc<Producer>,
    alone: Arc<Producer>,
}

/// Brings the delivery reports of one producer while any are due. Runs on a thread of its own.
pub struct DeliveryReportPoller {
    /// Weak, so that waiting for something to be sent doesn't keep the producer alive.
    producer: Weak<Producer>,
    sent: Receiver<()>,
    shared: Arc<Shared>,
}

impl DeliveryReportPoller {
    /// Runs until the producer is gone.
    pub fn run(&self) {
        while let Some(producer) = self.producer.upgrade() {
            if producer.inner.in_flight_count() > 0 {
                producer.inner.poll(REPORT_POLL);
                if self.shared.window.check_expiry(Instant::now()) {
                    producer.fail_all();
                }
                continue;
            }
            producer.inner.poll(Duration::ZERO);
            self.shared.log_fatal_error();
            drop(producer);
            if self.sent.recv_timeout(IDLE_POLL) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}

impl DeadLetterProducer {
    /// Sends to the dead letter topic. Fails when librdkafka refuses a property.
    pub fn new(config: &Config) -> KafkaResult<Self> {
        let omits_oversized_values = settings::omits_oversized_values(config);
        Self::create(
            config,
            &config.kafka.dead_letter_topic,
            omits_oversized_values,
        )
    }

    /// Publishes dead letters to another topic, and never without their value. Fails when librdkafka
    /// refuses a property.
    pub fn to_topic(config: &Config, topic: &str) -> KafkaResult<Self> {
        Self::create(config, topic, false)
    }

    fn create(config: &Config, topic: &str, omits_oversized_values: bool) -> KafkaResult<Self> {
        let window = DeliveryWindow::new(
            settings::most_queued_letters(config),
            settings::acknowledgement_timeout(config),
        );
        let shared = Shared::new(topic, omits_oversized_values, window);
        let context = || DeliveryContext::new(&shared);
        let alone = Producer::new(&settings::solo_producer(config), context())?;
        let together = Producer::new(&settings::producer(config), context())?;
        shared.set_producers(&together, &alone);
        Ok(Self {
            shared,
            together,
            alone,
        })
    }

    /// One poller for each of the two producers. Without them, no delivery report comes.
    pub fn report_pollers(&self) -> [DeliveryReportPoller; 2] {
        [&self.together, &self.alone].map(|producer| DeliveryReportPoller {
            producer: Arc::downgrade(producer),
            sent: producer.sent.1.clone(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Hands a dead letter over without waiting. On success the listener is called with the result.
    pub fn send(
        &self,
        letter: &DeadLetter<'_>,
        listener: Box<dyn DeliveryListener>,
    ) -> Result<(), SendError> {
        let Some(place) = self.shared.window.enter(letter.size()) else {
            return Err(SendError::NoRoom(listener));
        };
        let all_headers = headers::joined(letter.original_headers, letter.headers);
        let delivery = Box::new(Delivery::new(listener, place));
        let topic = &self.shared.topic;
        let record = record(topic, letter.key, letter.value, all_headers, delivery);
        self.together.send(record).map_err(|(error, delivery)| {
            if error == ClientError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                let listener = delivery.withdraw();
                self.shared.window.queue_is_full();
                return SendError::NoRoom(listener);
            }
            let why = self.shared.why(&error);
            SendError::Refused(delivery.withdraw(), why)
        })
    }

    /// Waits until there is room for more letters, up to `timeout`.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.shared.window.wait_for_room(timeout);
    }

    /// Waits until every dead letter has its report, up to `timeout` for each producer. Fails when some are
    /// still in flight then.
    pub fn flush(&self, timeout: Duration) -> KafkaResult<()> {
        self.together.inner.flush(timeout)?;
        Ok(self.alone.inner.flush(timeout)?)
    }
}
