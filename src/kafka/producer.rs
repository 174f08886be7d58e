//! The dead letter producer. A dead letter is settled by its delivery report, never by the send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{debug, warn};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};

use super::errors::{KafkaError, KafkaResult, is_too_large};
use super::log::forward_log;
use super::{headers, settings};
use crate::config::Config;
use crate::core::dead_letter::{Header as DeadLetterHeader, VALUE_OMITTED, VALUE_SIZE};
use crate::core::partition::RecordId;
use crate::core::record::OpaqueHeaders;

/// How long one poll for delivery reports takes at most; reports are handled as they come.
const REPORT_POLL: Duration = Duration::from_millis(100);

/// How often a producer without anything in flight is polled, for its log lines.
const IDLE_POLL: Duration = Duration::from_secs(1);

/// Hears how one dead letter ended: exactly one of the two methods is called, on the thread of a
/// [`DeliveryReportPoller`] or on one that flushes or drops the producer.
pub trait DeliveryListener: Send + Sync {
    /// Kafka has acknowledged the dead letter.
    fn delivered(self: Box<Self>);
    /// Kafka won't take the dead letter.
    fn undeliverable(self: Box<Self>, error: &KafkaError);
    /// The partition and offset of the record, for log lines.
    fn record_id(&self) -> RecordId;
}

/// A record on its way to the dead letter topic.
pub struct DeadLetter<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub original_headers: Option<&'a OpaqueHeaders>,
    pub headers: &'a [DeadLetterHeader],
}

/// Why a dead letter could not be handed to the producer. Gives the listener back, which was not called.
pub enum SendError {
    /// The producer's queue is full: the same may succeed later.
    QueueFull(Box<dyn DeliveryListener>),
    Refused(Box<dyn DeliveryListener>, KafkaError),
}

/// One for all writers. It has a producer that sends dead letters together, and one that sends each in a
/// batch of its own, for those that the broker refused together with others.
pub struct DeadLetterProducer {
    topic: Arc<str>,
    together: Arc<Producer>,
    alone: Arc<Producer>,
}

/// A producer whose delivery reports a [`DeliveryReportPoller`] brings.
struct Producer {
    inner: BaseProducer<DeliveryContext>,
    /// Says that something was sent. Holds one message: more would say nothing new.
    sent: (Sender<()>, Receiver<()>),
}

impl Producer {
    fn new(settings: &ClientConfig, context: DeliveryContext) -> ClientResult<Arc<Self>> {
        let inner = settings.create_with_context(context)?;
        let sent = bounded(1);
        Ok(Arc::new(Self { inner, sent }))
    }

    fn send(
        &self,
        record: BaseRecord<'_, [u8], [u8], Box<Delivery>>,
    ) -> Result<(), (ClientError, Box<Delivery>)> {
        self.inner
            .send(record)
            .map_err(|(error, record)| (error, record.delivery_opaque))?;
        // If a message is there already, it does the same.
        let _ = self.sent.0.try_send(());
        Ok(())
    }
}

/// Brings the delivery reports of one producer while any are due. Runs on a thread of its own.
pub struct DeliveryReportPoller {
    /// Weak, so that waiting for something to be sent doesn't keep the producer alive.
    producer: Weak<Producer>,
    sent: Receiver<()>,
}

impl DeliveryReportPoller {
    /// Runs until the producer is gone.
    pub fn run(&self) {
        while let Some(producer) = self.producer.upgrade() {
            if producer.inner.in_flight_count() > 0 {
                producer.inner.poll(REPORT_POLL);
                continue;
            }
            producer.inner.poll(Duration::ZERO);
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
        let topic: Arc<str> = topic.into();
        let slot = Arc::new(OnceLock::new());
        let context = || DeliveryContext {
            topic: Arc::clone(&topic),
            omits_oversized_values,
            doubted: Mutex::default(),
            alone: Arc::clone(&slot),
        };
        let alone = Producer::new(&settings::solo_producer(config), context())?;
        let together = Producer::new(&settings::producer(config), context())?;
        slot.get_or_init(|| Arc::downgrade(&alone));
        Ok(Self {
            topic,
            together,
            alone,
        })
    }

    /// One poller for each of the two producers. Without them, no delivery report comes.
    pub fn report_pollers(&self) -> [DeliveryReportPoller; 2] {
        [&self.together, &self.alone].map(|producer| DeliveryReportPoller {
            producer: Arc::downgrade(producer),
            sent: producer.sent.1.clone(),
        })
    }

    /// Hands a dead letter over without waiting. On success the listener will hear how it ended.
    pub fn send(
        &self,
        letter: &DeadLetter<'_>,
        listener: Box<dyn DeliveryListener>,
    ) -> Result<(), SendError> {
        let all_headers = headers::joined(letter.original_headers, letter.headers);
        let delivery = Box::new(Delivery {
            listener,
            attempt: Attempt::Together,
        });
        let record = record(&self.topic, letter.key, letter.value, all_headers, delivery);
        self.together
            .send(record)
            .map_err(|(error, delivery)| match error {
                ClientError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    SendError::QueueFull(delivery.listener)
                }
                error => SendError::Refused(delivery.listener, error.into()),
            })
    }

    /// Waits until every dead letter has its report, up to `timeout` for each producer. Fails when some are
    /// still in flight then.
    pub fn flush(&self, timeout: Duration) -> KafkaResult<()> {
        self.together.inner.flush(timeout)?;
        Ok(self.alone.inner.flush(timeout)?)
    }
}

fn record<'a>(
    topic: &'a str,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: OwnedHeaders,
    delivery: Box<Delivery>,
) -> BaseRecord<'a, [u8], [u8], Box<Delivery>> {
    let mut record = BaseRecord::with_opaque_to(topic, delivery).headers(headers);
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(value) = value {
        record = record.payload(value);
    }
    record
}

/// What librdkafka carries with each dead letter.
struct Delivery {
    listener: Box<dyn DeliveryListener>,
    attempt: Attempt,
}

/// How a dead letter was sent. Each refusal leaves fewer ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Together,
    Alone,
    WithoutValue,
}

struct DeliveryContext {
    topic: Arc<str>,
    omits_oversized_values: bool,
    /// By partition, the next offset of a batch whose first report had none. Behind a lock, because reports
    /// may also come on a thread that drops the producer.
    doubted: Mutex<HashMap<i32, i64>>,
    /// Weak, because that producer owns such a context too.
    alone: Arc<OnceLock<Weak<Producer>>>,
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        debug!("dead letter producer: {error}: {reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for DeliveryContext {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        let no_offset = ClientError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber);
        let (error, message) = match result {
            // A report without an offset says only that the broker has seen this sequence number before.
            // Among others that proves nothing; alone, it is the answer to a retry.
            Ok(message)
                if delivery.attempt == Attempt::Together
                    && self.has_no_offset(message.partition(), message.offset()) =>
            {
                (&no_offset, message)
            }
            Ok(_) => return delivery.listener.delivered(),
            Err((error, message)) => (error, message),
        };
        match self.next_attempt(delivery.attempt, error) {
            Some(next) => self.send_again(message, delivery.listener, next),
            None => delivery.listener.undeliverable(&error.clone().into()),
        }
    }
}

impl DeliveryContext {
    /// librdkafka counts a batch's offsets up from its first one, also where that is none: −1, 0, 1, … So a
    /// negative offset casts doubt on the reports that follow it without a break. An unnecessary doubt costs
    /// a second dead letter, and nothing more.
    fn has_no_offset(&self, partition: i32, offset: i64) -> bool {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_doubted = offset < 0 || doubted.get(&partition) == Some(&offset);
        if is_doubted {
            doubted.insert(partition, offset + 1);
        } else {
            doubted.remove(&partition);
        }
        is_doubted
    }

    fn next_attempt(&self, attempt: Attempt, error: &ClientError) -> Option<Attempt> {
        match attempt {
            Attempt::Together if may_be_another_records_fault(error) => Some(Attempt::Alone),
            Attempt::Alone if self.omits_oversized_values && is_too_large(error) => {
                Some(Attempt::WithoutValue)
            }
            Attempt::Together | Attempt::Alone | Attempt::WithoutValue => None,
        }
    }

    fn send_again(
        &self,
        message: &BorrowedMessage<'_>,
        listener: Box<dyn DeliveryListener>,
        attempt: Attempt,
    ) {
        let Some(alone) = self.alone.get().and_then(Weak::upgrade) else {
            let gone = ClientError::MessageProduction(RDKafkaErrorCode::BrokerDestroy);
            return listener.undeliverable(&gone.into());
        };
        let mut headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, rdkafka::message::BorrowedHeaders::detach);
        let mut value = message.payload();
        if attempt == Attempt::WithoutValue {
            let id = listener.record_id();
            warn!(partition = id.partition.number, offset = id.offset.0;
                "a dead letter is too large for its topic: its value is left out");
            let size = value.take().map_or(0, <[u8]>::len).to_string();
            headers = headers
                .insert(Header {
                    key: VALUE_OMITTED,
                    value: Some("true"),
                })
                .insert(Header {
                    key: VALUE_SIZE,
                    value: Some(&size),
                });
        }
        let delivery = Box::new(Delivery { listener, attempt });
        let record = record(&self.topic, message.key(), value, headers, delivery);
        if let Err((error, delivery)) = alone.send(record) {
            delivery.listener.undeliverable(&error.into());
        }
    }
}

/// The broker judges a batch as a whole: these errors may be about another record of the batch.
fn may_be_another_records_fault(error: &ClientError) -> bool {
    is_too_large(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::InvalidMessage
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::InvalidTimestamp
                    | RDKafkaErrorCode::DuplicateSequenceNumber
            )
        )
}
