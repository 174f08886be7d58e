//! Kafka's client stops here: nothing outside this folder knows librdkafka, its errors or its properties.

mod assignment;
mod commit;
mod consumer;
mod dead_letter_topic;
mod delivery;
mod delivery_window;
mod errors;
mod first_starts;
mod group;
mod headers;
mod iam;
mod late_starts;
mod log;
mod login;
mod message;
mod offset_reset;
mod producer;
mod queries;
mod questions;
mod quiet;
mod reader;
mod reader_error;
mod rebalance;
mod rebalance_listener;
mod settings;
mod starting_offsets;
mod statistics;
mod topic;
mod topic_ids;
mod undeliverable;
mod unread;

pub use assignment::{AssignedPartition, Assignment};
pub use commit::{CommitNotes, CommitOffsets, GroupOffsets, ReaderOffsets};
pub use consumer::{KafkaConsumer, PollError, Polled, TopicState};
pub use dead_letter_topic::{
    Aspect, DeadLetterTopic, dead_letter_topic_exists, dead_letter_topic_warning,
    hides_topic_settings, missing_topic,
};
pub use delivery::DeliveryListener;
pub use errors::{CommitError, CommitErrorClass};
pub use group::{Group, Members};
pub use log::{Recreation, is_log_noise};
pub use login::check_login;
pub use message::ConsumedMessage;
pub use offset_reset::ResetError;
pub use producer::{DeadLetter, DeadLetterProducer, SendError};
pub use queries::PartitionState;
pub use reader::{Next, Ranges, TopicReader};
pub use reader_error::ReadError;
pub use rebalance_listener::{RebalanceListener, StartError};
pub use settings::{PREFETCH_PROPERTY, prefetch_bytes, property_errors};
pub use topic::Topic;
pub use undeliverable::Undeliverable;
