//! Producing messages. Each one that Kafka acknowledges is entered in the ledger.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
    ThreadedProducer,
};

use super::content::{Content, Fate, Message};
use super::ledger::{Entry, Ledger};
use super::waiting;
use super::world::World;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Produces to a world's topic.
pub struct Producer {
    topic: String,
    prefix: &'static str,
    reports: Arc<Reports>,
    inner: ThreadedProducer<Context>,
}

impl Producer {
    pub fn new(world: &World) -> Self {
        Self::with(world, &[])
    }

    /// A producer with librdkafka properties, such as `compression.type` or `transactional.id`.
    pub fn with(world: &World, properties: &[(&str, &str)]) -> Self {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &world.servers.kafka)
            .set("linger.ms", "5")
            .set("acks", "all")
            // Otherwise a retry may write a message twice, and tests count offsets.
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "100000000")
            .set("queue.buffering.max.kbytes", "65536");
        for (name, value) in properties {
            settings.set(*name, *value);
        }
        let reports = Arc::new(Reports {
            ledger: Arc::clone(&world.ledger),
            failures: Mutex::default(),
        });
        let context = Context(Arc::clone(&reports));
        let inner: ThreadedProducer<Context> = settings.create_with_context(context).unwrap();
        if properties
            .iter()
            .any(|(name, _)| *name == "transactional.id")
        {
            inner.init_transactions(TIMEOUT).unwrap();
        }
        Self {
            topic: world.topic.clone(),
            prefix: world.prefix,
            reports,
            inner,
        }
    }

    /// Queues one record; [`flush`](Self::flush) waits for all of them.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "most messages are created for the call"
    )]
    pub fn send(&self, message: Message) {
        let value = message.content.value();
        let headers = message
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_ref(),
                })
            });
        let opaque = Box::new((message.content.clone(), message.fate));
        let mut record: BaseRecord<'_, [u8], [u8], _> =
            BaseRecord::with_opaque_to(&self.topic, opaque);
        if !message.headers.is_empty() {
            record = record.headers(headers);
        }
        if let Some(value) = &value {
            record = record.payload(value);
        }
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        if let Some(timestamp) = message.timestamp {
            record = record.timestamp(timestamp);
        }
        if let Some(partition) = message.partition {
            record = record.partition(partition);
        }
        loop {
            match self.inner.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    waiting::pause();
                }
                Err((error, _)) => panic!("can't produce: {error}"),
            }
        }
    }

    /// Sends one record and waits for its acknowledgement.
    pub fn send_now(&self, message: Message) {
        self.send(message);
        self.flush();
    }

    /// Waits until Kafka has acknowledged everything.
    pub fn flush(&self) {
        self.inner.flush(TIMEOUT).unwrap();
        let failures = self.reports.failures.lock().unwrap();
        assert!(failures.is_empty(), "not produced: {failures:?}");
    }

    /// Produces the valid messages of these numbers, evenly over the partitions, and waits until all are
    /// acknowledged.
    pub fn fill(&self, numbers: std::ops::Range<u64>, partitions: i32) {
        self.fill_padded(numbers, partitions, 0);
    }

    /// The same, with `padding` more bytes in each message.
    pub fn fill_padded(&self, numbers: std::ops::Range<u64>, partitions: i32, padding: usize) {
        for number in numbers {
            self.send(self.numbered(number, partitions, padding));
        }
        self.flush();
    }

    /// The valid message of a number.
    pub fn numbered(&self, number: u64, partitions: i32, padding: usize) -> Message {
        let content = Content::Numbered {
            prefix: self.prefix,
            number,
            padding,
        };
        let partition = i32::try_from(number % u64::try_from(partitions).unwrap()).unwrap();
        Message::new(content, Fate::Stored).partition(partition)
    }

    pub fn begin(&self) {
        self.inner.begin_transaction().unwrap();
    }

    pub fn commit(&self) {
        self.flush();
        self.inner.commit_transaction(TIMEOUT).unwrap();
    }

    /// Aborts the transaction. Its messages must have the fate [`Fate::Absent`].
    pub fn abort(&self) {
        self.flush();
        self.inner.abort_transaction(TIMEOUT).unwrap();
    }
}

struct Reports {
    ledger: Arc<Ledger>,
    failures: Mutex<Vec<String>>,
}

struct Context(Arc<Reports>);

impl ClientContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = Box<(Content, Fate)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        match result {
            Ok(message) => {
                let (content, fate) = *opaque;
                self.0.ledger.add(Entry {
                    partition: message.partition(),
                    offset: message.offset(),
                    content,
                    fate,
                });
            }
            Err((error, _)) => self.0.failures.lock().unwrap().push(error.to_string()),
        }
    }
}
