//! The dead letter producer. A dead letter is settled by its delivery report, never by the send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{debug, warn};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};

use super::context::forward_log;
use super::{headers, settings};
use crate::config::Config;
use crate::core::dead_letter::{Header as OurHeader, Ticket, VALUE_OMITTED, VALUE_SIZE};
use crate::core::record::OpaqueHeaders;

/// How long one poll for reports takes; they are told as they come.
const REPORT_POLL: Duration = Duration::from_millis(100);

/// How often a producer with nothing under way is looked at, for what it has to log.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Who hears of each dead letter's end; called on the thread of a [`ReportPoller`], or one that flushes.
pub trait DeliveryEvents: Send + Sync {
    fn delivered(&self, ticket: &Ticket);
    /// Kafka won't take it: `ticket`'s record is neither stored nor dead-lettered.
    fn undeliverable(&self, ticket: &Ticket, error: &KafkaError);
}

/// A record on its way to the dead letter topic.
pub struct DeadLetter<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub original_headers: Option<&'a OpaqueHeaders>,
    pub headers: Vec<OurHeader>,
    pub ticket: Ticket,
}

/// What came of handing a dead letter over.
#[derive(Debug)]
pub enum SendOutcome {
    /// Its end will be told to [`DeliveryEvents`].
    Sent,
    /// The producer's queue is full; the same again later.
    QueueFull,
    Refused(KafkaError),
}

/// One for all writers: a producer that sends dead letters in company, and one that sends a single one
/// a batch, for those that the broker refused with their company.
pub struct DeadLetterProducer {
    topic: Arc<str>,
    in_company: Arc<Producer>,
    alone: Arc<Producer>,
}

/// A producer whose reports a [`ReportPoller`] brings.
struct Producer {
    inner: BaseProducer<DeliveryContext>,
    /// Something was sent. Holds one: more would say nothing new.
    sent: (Sender<()>, Receiver<()>),
}

impl Producer {
    fn new(settings: &ClientConfig, context: DeliveryContext) -> KafkaResult<Arc<Self>> {
        let inner = settings.create_with_context(context)?;
        let sent = bounded(1);
        Ok(Arc::new(Self { inner, sent }))
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8], Box<Delivery>>) -> KafkaResult<()> {
        self.inner.send(record).map_err(|(error, _)| error)?;
        // One that is there already serves as well.
        let _ = self.sent.0.try_send(());
        Ok(())
    }
}

/// Brings the delivery reports of one producer, while any are due. To be run on a thread of its own.
pub struct ReportPoller {
    /// Weak, so that a wait for something to be sent keeps no producer from its end.
    producer: Weak<Producer>,
    sent: Receiver<()>,
}

impl ReportPoller {
    /// Runs until the producer is gone.
    pub fn run(&self) {
        while let Some(producer) = self.producer.upgrade() {
            if producer.inner.in_flight_count() > 0 {
                producer.inner.poll(REPORT_POLL);
                continue;
            }
            producer.inner.poll(Duration::ZERO);
            drop(producer);
            if self.sent.recv_timeout(IDLE_LOOK) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}

impl DeadLetterProducer {
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(config: &Config, events: &Arc<dyn DeliveryEvents>) -> KafkaResult<Self> {
        let omits_oversized_values = settings::omits_oversized_values(config);
        let topic = &config.kafka.dead_letter_topic;
        Self::to(config, topic, omits_oversized_values, events)
    }

    /// One that publishes dead letters, whole, to another topic.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn to_topic(
        config: &Config,
        topic: &str,
        events: &Arc<dyn DeliveryEvents>,
    ) -> KafkaResult<Self> {
        Self::to(config, topic, false, events)
    }

    fn to(
        config: &Config,
        topic: &str,
        omits_oversized_values: bool,
        events: &Arc<dyn DeliveryEvents>,
    ) -> KafkaResult<Self> {
        let topic: Arc<str> = topic.into();
        let slot = Arc::new(OnceLock::new());
        let context = || DeliveryContext {
            topic: Arc::clone(&topic),
            events: Arc::clone(events),
            omits_oversized_values,
            doubted: Mutex::default(),
            alone: Arc::clone(&slot),
        };
        let alone = Producer::new(&settings::solo_producer(config), context())?;
        let in_company = Producer::new(&settings::producer(config), context())?;
        slot.get_or_init(|| Arc::downgrade(&alone));
        Ok(Self {
            topic,
            in_company,
            alone,
        })
    }

    /// One for each of the producers inside; without them no report comes.
    #[must_use]
    pub fn report_pollers(&self) -> [ReportPoller; 2] {
        [&self.in_company, &self.alone].map(|producer| ReportPoller {
            producer: Arc::downgrade(producer),
            sent: producer.sent.1.clone(),
        })
    }

    /// Hands a dead letter over; doesn't wait.
    #[must_use]
    pub fn send(&self, letter: &DeadLetter<'_>) -> SendOutcome {
        let all_headers = headers::joined(letter.original_headers, &letter.headers);
        let delivery = Box::new(Delivery {
            ticket: letter.ticket.clone(),
            attempt: Attempt::InCompany,
        });
        let record = record(&self.topic, letter.key, letter.value, all_headers, delivery);
        match self.in_company.send(record) {
            Ok(()) => SendOutcome::Sent,
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                SendOutcome::QueueFull
            }
            Err(error) => SendOutcome::Refused(error),
        }
    }

    /// Waits until every dead letter has its report, up to `timeout` for each producer.
    ///
    /// # Errors
    /// When some are still under way.
    pub fn flush(&self, timeout: Duration) -> KafkaResult<()> {
        self.in_company.inner.flush(timeout)?;
        self.alone.inner.flush(timeout)
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

struct Delivery {
    ticket: Ticket,
    attempt: Attempt,
}

/// How a dead letter was sent: each refusal leaves fewer ways.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    InCompany,
    Alone,
    WithoutValue,
}

struct DeliveryContext {
    topic: Arc<str>,
    events: Arc<dyn DeliveryEvents>,
    omits_oversized_values: bool,
    /// By partition, the next offset of a batch whose first report had none. Under a lock because reports
    /// may also come on a thread that drops the producer.
    doubted: Mutex<HashMap<i32, i64>>,
    /// Weak, since that producer owns a context of this kind itself.
    alone: Arc<OnceLock<Weak<Producer>>>,
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!("dead letter producer: {error}: {reason}");
    }
}

impl ProducerContext<NoCustomPartitioner> for DeliveryContext {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Self::DeliveryOpaque) {
        let no_offset = KafkaError::MessageProduction(RDKafkaErrorCode::DuplicateSequenceNumber);
        let (error, message) = match result {
            // Without an offset the broker only said that it has seen this sequence number before. In
            // company that proves nothing; alone, it is the answer to a retry.
            Ok(message)
                if delivery.attempt == Attempt::InCompany
                    && self.has_no_offset(message.partition(), message.offset()) =>
            {
                (&no_offset, message)
            }
            Ok(_) => return self.events.delivered(&delivery.ticket),
            Err((error, message)) => (error, message),
        };
        let Some(next) = self.next_attempt(delivery.attempt, error) else {
            return self.events.undeliverable(&delivery.ticket, error);
        };
        let ticket = delivery.ticket;
        let next_delivery = Box::new(Delivery {
            ticket: ticket.clone(),
            attempt: next,
        });
        if let Err(error) = self.send_again(message, next_delivery) {
            self.events.undeliverable(&ticket, &error);
        }
    }
}

impl DeliveryContext {
    /// librdkafka counts a batch's offsets up from its first one, also where that is none: −1, 0, 1, … So
    /// a negative offset casts doubt on the reports that follow it without a break. Doubt where there was
    /// no need costs a second dead letter, no more.
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

    fn next_attempt(&self, attempt: Attempt, error: &KafkaError) -> Option<Attempt> {
        match attempt {
            Attempt::InCompany if may_be_a_neighbours_fault(error) => Some(Attempt::Alone),
            Attempt::Alone if self.omits_oversized_values && is_too_large(error) => {
                Some(Attempt::WithoutValue)
            }
            Attempt::InCompany | Attempt::Alone | Attempt::WithoutValue => None,
        }
    }

    fn send_again(
        &self,
        message: &BorrowedMessage<'_>,
        delivery: Box<Delivery>,
    ) -> KafkaResult<()> {
        let gone = || KafkaError::MessageProduction(RDKafkaErrorCode::BrokerDestroy);
        let alone = self.alone.get().and_then(Weak::upgrade).ok_or_else(gone)?;
        let mut headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, rdkafka::message::BorrowedHeaders::detach);
        let mut value = message.payload();
        if delivery.attempt == Attempt::WithoutValue {
            let id = delivery.ticket.id;
            warn!(partition = id.partition.0, offset = id.offset.0;
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
        let record = record(&self.topic, message.key(), value, headers, delivery);
        alone.send(record)
    }
}

/// The broker judges a batch as a whole: these may be about another record of it.
fn may_be_a_neighbours_fault(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::DuplicateSequenceNumber
        )
    )
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
    )
}
