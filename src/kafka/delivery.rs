//! One of librdkafka's producers, and what becomes of the delivery reports of its letters.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{debug, error, warn};
use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    PurgeConfig,
};

use super::delivery_window::{DeliveryWindow, Place};
use super::errors::{is_too_large, without_secrets};
use super::iam;
use super::log::forward_log;
use super::undeliverable::Undeliverable;
use crate::core::dead_letter::{VALUE_OMITTED, VALUE_SIZE};
use crate::core::partition::RecordId;

/// Is called with the result of one dead letter: one of the two methods is called, on the thread of a
/// `DeliveryReportPoller` or on one that flushes the producer. Where the producer is dropped before the result is
/// known, the listener is dropped without a call.
pub trait DeliveryListener: Send + Sync {
    /// Kafka has acknowledged the dead letter.
    fn delivered(self: Box<Self>);
    /// Kafka won't take the dead letter, or gives no answer.
    fn undeliverable(self: Box<Self>, why: Undeliverable);
    /// The partition and offset of the record, for log lines.
    fn record_id(&self) -> RecordId;
}

/// What the two producers share.
pub(super) struct Shared {
    pub(super) topic: String,
    omits_oversized_values: bool,
    pub(super) window: Arc<DeliveryWindow>,
    /// Weak, because each producer owns a context, which holds this.
    together: OnceLock<Weak<Producer>>,
    alone: OnceLock<Weak<Producer>>,
    /// Both producers fail for the same reason, which is logged once.
    logs_fatal_error: Once,
}

/// A producer that somebody has to poll: only that brings the delivery reports.
pub(super) struct Producer {
    pub(super) inner: BaseProducer<DeliveryContext>,
    /// Says that something was sent. Holds one message: more would say nothing new.
    pub(super) sent: (Sender<()>, Receiver<()>),
}

impl Producer {
    pub(super) fn new(
        settings: &ClientConfig,
        context: DeliveryContext,
    ) -> ClientResult<Arc<Self>> {
        let inner = settings.create_with_context(context)?;
        let sent = bounded(1);
        Ok(Arc::new(Self { inner, sent }))
    }

    pub(super) fn send(
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

    /// Every letter under way gets a report that it has failed.
    pub(super) fn fail_all(&self) {
        // A blocking call would wait for threads of librdkafka that may wait themselves, for example for a DNS server.
        let everything = PurgeConfig::default().queue().inflight().non_blocking();
        self.inner.purge(everything);
    }

    fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.inner.client().fatal_error()
    }
}

pub(super) fn record<'a>(
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
pub(super) struct Delivery {
    pub(super) listener: Box<dyn DeliveryListener>,
    attempt: Attempt,
    /// Given back when the letter has its result.
    place: Place,
}

impl Delivery {
    pub(super) fn new(listener: Box<dyn DeliveryListener>, place: Place) -> Self {
        Self {
            listener,
            attempt: Attempt::Together,
            place,
        }
    }
}

impl Delivery {
    /// The producer did not take the letter.
    pub(super) fn withdraw(self) -> Box<dyn DeliveryListener> {
        self.place.withdraw();
        self.listener
    }
}

/// How a dead letter was sent. Each refusal leaves fewer ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Together,
    Alone,
    WithoutValue,
}

pub(super) struct DeliveryContext {
    shared: Arc<Shared>,
    /// By partition, the next offset of a batch whose first report had none. Behind a lock, because reports
    /// may also come on a thread that drops the producer.
    doubted: Mutex<HashMap<i32, i64>>,
}

impl ClientContext for DeliveryContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        debug!("dead letter producer: {error}: {}", without_secrets(reason));
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        iam::token(config)
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
        if let Some(next) = self.next_attempt(delivery.attempt, error) {
            self.send_again(message, *delivery, next);
        } else if !self.shared.is_dropped(error) {
            delivery.listener.undeliverable(self.shared.why(error));
        }
    }
}

impl DeliveryContext {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            doubted: Mutex::default(),
        }
    }

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
            Attempt::Alone if self.shared.omits_oversized_values && is_too_large(error) => {
                Some(Attempt::WithoutValue)
            }
            Attempt::Together | Attempt::Alone | Attempt::WithoutValue => None,
        }
    }

    fn send_again(&self, message: &BorrowedMessage<'_>, delivery: Delivery, attempt: Attempt) {
        // The last owner of the producers drops them: nobody waits for results any more.
        let Some(alone) = self.shared.alone.get().and_then(Weak::upgrade) else {
            return;
        };
        let mut headers = message
            .headers()
            .map_or_else(OwnedHeaders::new, rdkafka::message::BorrowedHeaders::detach);
        let mut value = message.payload();
        if attempt == Attempt::WithoutValue {
            let id = delivery.listener.record_id();
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
        let delivery = Box::new(Delivery {
            attempt,
            ..delivery
        });
        let record = record(&self.shared.topic, message.key(), value, headers, delivery);
        if let Err((error, delivery)) = alone.send(record) {
            delivery.listener.undeliverable(self.shared.why(&error));
        }
    }
}

impl Shared {
    pub(super) fn new(
        topic: &str,
        omits_oversized_values: bool,
        window: Arc<DeliveryWindow>,
    ) -> Arc<Self> {
        Arc::new(Self {
            topic: topic.to_owned(),
            omits_oversized_values,
            window,
            together: OnceLock::new(),
            alone: OnceLock::new(),
            logs_fatal_error: Once::new(),
        })
    }

    /// Both are needed before the first letter is sent.
    pub(super) fn set_producers(&self, together: &Arc<Producer>, alone: &Arc<Producer>) {
        self.together.get_or_init(|| Arc::downgrade(together));
        self.alone.get_or_init(|| Arc::downgrade(alone));
    }

    /// Whether the error of a letter says only that its producer is being dropped.
    fn is_dropped(&self, error: &ClientError) -> bool {
        is_purged(error) && !self.window.has_expired() && self.fatal_error().is_none()
    }

    pub(super) fn why(&self, error: &ClientError) -> Undeliverable {
        let is_fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if !is_fatal && !is_purged(error) {
            return Undeliverable::new(&self.topic, error);
        }
        match self.fatal_error() {
            Some((code, text)) => Undeliverable::fatal(&self.topic, code, text),
            None if is_fatal => Undeliverable::new(&self.topic, error),
            None => Undeliverable::no_answer(&self.topic, self.window.patience()),
        }
    }

    /// The error after which a producer takes nothing any more.
    fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        [&self.together, &self.alone]
            .into_iter()
            .filter_map(|producer| producer.get().and_then(Weak::upgrade))
            .find_map(|producer| producer.fatal_error())
    }

    /// Logs the error after which a producer takes nothing any more. Where a right is missing it comes at the start, and
    /// the first letter may come much later. No callback tells of it.
    pub(super) fn log_fatal_error(&self) {
        let Some((code, text)) = self.fatal_error() else {
            return;
        };
        self.logs_fatal_error.call_once(|| {
            let topic = &self.topic;
            let why = Undeliverable::fatal(topic, code, text);
            error!("nothing can be written to the topic `{topic}`: {why}");
        });
    }
}

fn is_purged(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
    )
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
