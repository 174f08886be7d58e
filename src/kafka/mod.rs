//! Kafka's client stops here: nothing outside this folder knows librdkafka, its errors or its properties.

mod assignment;
mod commit;
mod consumer;
mod dead_letter_topic;
mod errors;
mod headers;
mod late_starts;
mod log;
mod message;
mod producer;
mod queries;
mod reader;
mod reader_error;
mod rebalance;
mod rebalance_listener;
mod settings;
mod starting_offsets;
mod statistics;
mod topic;
mod unread;

pub use assignment::{AssignedPartition, Assignment};
pub use commit::{CommitOffsets, GroupOffsets, ReaderOffsets};
pub use consumer::{KafkaConsumer, PollError, Polled, TopicState};
pub use dead_letter_topic::dead_letter_topic_warnings;
pub use errors::{CommitError, CommitErrorClass, KafkaError};
pub use message::ConsumedMessage;
pub use producer::{DeadLetter, DeadLetterProducer, DeliveryListener, SendError};
pub use reader::{Next, Ranges, TopicReader};
pub use reader_error::ReadError;
pub use rebalance_listener::{RebalanceListener, StartError};
pub use settings::prefetch_bytes;
pub use statistics::EndOffset;
pub use topic::Topic;
