//! Kafka's client stops here: nothing outside this folder knows librdkafka.

mod consumer;
mod context;
mod headers;
mod problem;
mod producer;
mod reader;
mod settings;
mod statistics;
mod topics;

pub use consumer::{KafkaConsumer, Polled, Taken, TopicState, Trouble};
pub use context::{Assigned, GroupEvents};
pub use problem::{CommitProblem, dead_letter_advice, is_authorization};
pub use producer::{DeadLetter, DeadLetterProducer, DeliveryEvents, ReportPoller, SendOutcome};
pub use rdkafka::error::KafkaError;
pub use reader::{Next, Ranges, ReadError, ReaderGroup, TopicReader};
pub use settings::PREFETCH_KIB;
pub use topics::dead_letter_topic_warnings;
