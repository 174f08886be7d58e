//! Every key of the configuration, once: reading, environment variables, suggestions, the effective
//! configuration and the README's table all go by this table.

use super::kind::Kind;
use super::model::{AutoOffsetReset, DeadLetterOversize, LogFormat, OnUnavailable};
use super::names;

/// What every environment variable of the configuration begins with.
pub(super) const ENV_PREFIX: &str = "CONSUMER__";

/// What the name of a variable ends with whose value is the path of a file that holds the value.
pub(super) const ENV_FILE_SUFFIX: &str = "_FILE";

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The names from the outermost object on, joined by dots: `kafka.topic`.
    pub path: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The value if the key isn't given.
    pub default: Fallback,
    /// One line for the documentation.
    pub description: &'static str,
}

/// The value of a key that isn't given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// There is none: the key must be given.
    Required,
    Text(&'static str),
    Integer(u32),
    Boolean(bool),
    EmptyObject,
}

impl Key {
    /// The environment variable that overrides the key.
    #[must_use]
    pub fn env_name(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path.to_uppercase().replace('.', "__")
        )
    }

    /// The environment variable that names a file with the value, where the key has one.
    #[must_use]
    pub fn env_file_name(&self) -> Option<String> {
        self.kind
            .is_textual()
            .then(|| self.env_name() + ENV_FILE_SUFFIX)
    }

    /// The default as JSON; `None` if the key must be given.
    #[must_use]
    pub fn default_json(&self) -> Option<String> {
        match self.default {
            Fallback::Required => None,
            Fallback::Text(text) => Some(format!("\"{text}\"")),
            Fallback::Integer(value) => Some(value.to_string()),
            Fallback::Boolean(value) => Some(value.to_string()),
            Fallback::EmptyObject => Some("{}".to_owned()),
        }
    }
}

/// All keys, in the order of the documentation.
#[must_use]
pub fn keys() -> &'static [Key] {
    KEYS
}

pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether the path is one of an object that holds keys, such as `mongodb.write_concern`.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| is_below(key.path, path))
}

/// Whether a key's path is below a section's.
pub(super) fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| rest.starts_with('.'))
}

pub(super) const LEVELS: &[&str] = &["error", "warn", "warning", "info", "debug", "trace", "off"];

const fn key(path: &'static str, kind: Kind, default: Fallback, description: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        description,
    }
}

const fn whole(min: u32, max: u32) -> Kind {
    Kind::Integer { min, max }
}

const HOUR_MS: u32 = 3_600_000;

#[rustfmt::skip] // A table: a key is easier to find on one line, and its description below it.
static KEYS: &[Key] = &[
    key("kafka.bootstrap_servers", Kind::Servers, Fallback::Required,
        "The Kafka brokers to ask first."),
    key("kafka.topic", Kind::Name { is_legal: names::is_topic, expected: names::TOPIC }, Fallback::Text("data-topic"),
        "The topic to read."),
    key("kafka.group_id", Kind::Name { is_legal: names::is_group, expected: names::GROUP }, Fallback::Text("data-consumer-group"),
        "The consumer group; the instances that share the work share it."),
    key("kafka.dead_letter_topic", Kind::Name { is_legal: names::is_topic, expected: names::TOPIC }, Fallback::Text("dead-letter-topic"),
        "Where messages go that can't be stored."),
    key("kafka.auto_offset_reset", Kind::Choice(AutoOffsetReset::NAMES), Fallback::Text("earliest"),
        "Where to begin when the group has no committed offset."),
    key("kafka.enable_auto_commit", Kind::AlwaysFalse, Fallback::Boolean(false),
        "Offsets are committed when their messages are stored, never by time."),
    key("kafka.poll_timeout_ms", whole(1, 60_000), Fallback::Integer(1000),
        "The longest that one poll waits while nothing is in hand."),
    key("kafka.properties", Kind::Properties, Fallback::EmptyObject,
        "librdkafka properties of the consumer and of the dead letter producer, such as TLS and SASL."),
    key("kafka.consumer_properties", Kind::Properties, Fallback::EmptyObject,
        "librdkafka properties of the consumer alone; they go over `kafka.properties`."),
    key("kafka.producer_properties", Kind::Properties, Fallback::EmptyObject,
        "librdkafka properties of the dead letter producer alone; they go over `kafka.properties`."),
    key("kafka.dead_letter_oversize", Kind::Choice(DeadLetterOversize::NAMES), Fallback::Text("stop"),
        "What to do with a dead letter that the broker refuses for its size: stop, or send it without its value."),

    key("mongodb.uri", Kind::MongoUri, Fallback::Required,
        "The MongoDB connection string, with its credentials; best given by a file."),
    key("mongodb.database", Kind::Database, Fallback::Text("pubsub_data"),
        "The database to write to."),
    key("mongodb.collection", Kind::Name { is_legal: names::is_collection, expected: names::COLLECTION }, Fallback::Text("messages"),
        "The collection to write to."),
    key("mongodb.on_unavailable", Kind::Choice(OnUnavailable::NAMES), Fallback::Text("dead_letter"),
        "While MongoDB is unavailable: redirect messages to the dead letter topic, or pause until it is back."),
    key("mongodb.reconnect_interval_ms", whole(10, HOUR_MS), Fallback::Integer(5000),
        "How often MongoDB is tried again while it is unavailable."),
    key("mongodb.write_concern.w", Kind::Acknowledgement, Fallback::Integer(1),
        "Who must have a write before its offset is committed; on a replica set, `\"majority\"` survives a failover."),
    key("mongodb.write_concern.journal", Kind::Boolean, Fallback::Boolean(true),
        "Whether a write must be in the journal; without it a crash of the server can lose stored messages."),

    key("consumer.batch_size", whole(1, 100_000), Fallback::Integer(100),
        "The most messages of one insert."),
    key("consumer.batch_bytes", whole(1, 1 << 28), Fallback::Integer(4 << 20),
        "The most payload bytes of one insert; a larger message goes alone."),
    key("consumer.offset_commit_frequency", whole(1, 1_000_000_000), Fallback::Integer(1000),
        "Commit after so many messages; 1 commits after every batch."),
    key("consumer.offset_commit_interval_ms", whole(1, HOUR_MS), Fallback::Integer(1000),
        "Commit after so long at the latest."),
    key("consumer.max_retries", whole(1, 100), Fallback::Integer(3),
        "Attempts in all, to connect and to write a batch."),
    key("consumer.retry_backoff_ms", whole(1, 60_000), Fallback::Integer(1000),
        "The wait before the second attempt; it doubles from there."),
    key("consumer.writer_threads", whole(1, 256), Fallback::Integer(8),
        "Threads that write to MongoDB, each one batch at a time."),
    key("consumer.max_in_flight_bytes", whole(1, 1 << 31), Fallback::Integer(32 << 20),
        "The most payload bytes taken off Kafka and not yet stored or dead-lettered."),
    key("consumer.max_in_flight_messages", whole(1, 10_000_000), Fallback::Integer(20_000),
        "The most messages taken off Kafka and not yet stored or dead-lettered."),
    key("consumer.max_consecutive_rejections", whole(0, 1_000_000_000), Fallback::Integer(0),
        "Stop after so many rejected messages in a row, as the topic then looks like the wrong one; 0 never stops."),
    key("consumer.shutdown_timeout_ms", whole(1000, HOUR_MS), Fallback::Integer(25_000),
        "How long a stop may take; keep it below the grace period of the container."),

    key("logging.level", Kind::Choice(LEVELS), Fallback::Text("INFO"),
        "The least severe level that is logged; `RUST_LOG` goes over it."),
    key("logging.format", Kind::Choice(LogFormat::NAMES), Fallback::Text("json"),
        "One JSON object a line, or text for people."),

    key("metrics.enabled", Kind::Boolean, Fallback::Boolean(true),
        "Whether to serve metrics and health; without it no port is opened."),
    key("metrics.host", Kind::IpAddress, Fallback::Text("0.0.0.0"),
        "The address to serve them on."),
    key("metrics.port", whole(0, 65_535), Fallback::Integer(8001),
        "The port to serve them on; 0 takes any free one."),
];
