//! Every key is declared here, once, as a field of the type that the program reads: checked, with units.
//!
//! The JSON Schema is made from these types (`schema.rs`). From the schema come the check of a value,
//! the default, the environment variable, the suggestion for a mistyped name and the row of docs/CONFIGURATION.md. serde
//! reads the value, and writes it back for `check`. A field's doc comment is the key's description, and
//! a key without a default must be given.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::indexes::Index;
use super::ratio::Ratio;
use super::secret_uri::SecretUri;
use super::serial::{level, millis};
use super::write_concern::WriteConcern;
use super::{indexes, message, names, properties};
use crate::core::document::MessageRules;

const HOUR_MS: u32 = 3_600_000;

/// The configuration of kafka-mongo-consumer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub kafka: Kafka,
    pub message: Message,
    pub mongodb: Mongodb,
    pub consumer: Consumer,
    pub logging: Logging,
    pub metrics: Metrics,
    pub control: Control,
}

/// Where the messages come from, and where the dead letters go.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// The Kafka brokers to connect to first.
    #[serde(deserialize_with = "names::trimmed_servers")]
    #[schemars(schema_with = "names::servers", extend("examples" = ["kafka:9092"]))]
    pub bootstrap_servers: String,

    /// The topic to read.
    #[schemars(schema_with = "names::topic", extend("default" = "data-topic"))]
    pub topic: String,

    /// The consumer group; instances that share the work have the same one.
    #[schemars(schema_with = "names::group", extend("default" = "data-consumer-group"))]
    pub group_id: String,

    /// The topic for messages that can't be stored; never the topic that is read.
    #[schemars(schema_with = "names::topic", extend("default" = "dead-letter-topic"))]
    pub dead_letter_topic: String,

    /// Where to begin in all partitions when the group starts for the first time.
    #[schemars(extend("default" = "earliest"))]
    pub auto_offset_reset: AutoOffsetReset,

    /// Offsets are committed when their messages are stored, never by time.
    #[schemars(extend("const" = false, "default" = false))]
    pub(super) enable_auto_commit: bool,

    /// The longest that one poll waits while no message is pending; the worker still notices a stop within 250 ms.
    #[serde(rename = "poll_timeout_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 1, max = 1000), extend("default" = 1000))]
    pub poll_timeout: Duration,

    /// librdkafka properties of the consumer and of the dead letter producer, such as TLS and SASL.
    // Empty after loading: its entries have been copied into the two below.
    #[serde(with = "properties")]
    #[schemars(schema_with = "properties::schema", extend("default" = {}))]
    pub(super) properties: BTreeMap<String, String>,

    /// librdkafka properties of the consumer alone; they override `kafka.properties`.
    // After loading: the merged properties. None of them is one that the worker sets itself.
    #[serde(with = "properties")]
    #[schemars(schema_with = "properties::schema", extend("default" = {}))]
    pub consumer_properties: BTreeMap<String, String>,

    /// librdkafka properties of the dead letter producer alone; they override `kafka.properties`.
    // After loading: the merged properties. None of them breaks a guarantee.
    #[serde(with = "properties")]
    #[schemars(schema_with = "properties::schema", extend("default" = {}))]
    pub producer_properties: BTreeMap<String, String>,

    /// What to do with a dead letter that the broker refuses for its size: stop, or send it without its value.
    #[schemars(extend("default" = "stop"))]
    pub dead_letter_oversize: DeadLetterOversize,

    /// Not a key: `max.poll.interval.ms` of the consumer's properties, at least 10 s. It bounds what a
    /// revoke may take.
    #[serde(skip)]
    pub max_poll_interval: Duration,
}

/// Where to begin in a partition for which the group has no committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutoOffsetReset {
    /// With the oldest message that is left.
    Earliest,
    /// With the messages that come from now on.
    Latest,
}

/// What to do with a dead letter that the broker refuses for its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterOversize {
    /// Stop the process with an error; nothing is given up.
    Stop,
    /// Send it without its value; the headers say so.
    OmitValue,
}

/// What a message must be, and where its id comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What a message must be: one with the specification's four fields, any JSON object that has its id, or what a schema of draft 2020-12 accepts.
    #[schemars(schema_with = "message::schema", extend("default" = "specification"))]
    pub schema: String,

    /// What becomes `_id`: a field's value, the record's key as text, or the record's place as `topic-partition-offset`.
    #[schemars(schema_with = "message::id", extend("default" = "message_id"))]
    pub id: String,

    /// Not a key: what the two keys mean, with the schema compiled.
    #[serde(skip)]
    pub rules: Arc<MessageRules>,
}

/// The keys alone: the rules follow from them.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        (&self.schema, &self.id) == (&other.schema, &other.id)
    }
}

/// Where the documents are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mongodb {
    /// The MongoDB connection string, with its credentials; best given by a file.
    #[schemars(schema_with = "names::mongodb_uri", extend("examples" = ["mongodb://mongodb:27017"]))]
    pub uri: SecretUri,

    /// The database to write to.
    #[schemars(schema_with = "names::database", extend("default" = "pubsub_data"))]
    pub database: String,

    /// The collection to write to.
    #[schemars(schema_with = "names::collection", extend("default" = "messages"))]
    pub collection: String,

    /// The indexes that the start creates unless they exist; `[]` for none. Messages wait until those that are `unique` are built.
    #[schemars(schema_with = "indexes::schema", extend("default" = [{"created_at": 1}]))]
    pub indexes: Vec<Index>,

    /// While MongoDB is unavailable: redirect messages to the dead letter topic, or pause until it is back.
    #[schemars(extend("default" = "dead_letter"))]
    pub on_unavailable: OnUnavailable,

    /// How often MongoDB is tried again while it is unavailable.
    #[serde(rename = "reconnect_interval_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 10, max = HOUR_MS), extend("default" = 5000))]
    pub reconnect_interval: Duration,

    /// After an outage, the workers store what they sent to the dead letter topic as `mongodb_unavailable`.
    #[schemars(extend("default" = false))]
    pub replay_after_outage: bool,

    // After loading: merged with the options of the URI.
    pub write_concern: WriteConcern,
}

/// What to do with messages while MongoDB is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnavailable {
    /// Send them to the dead letter topic, and go on reading.
    DeadLetter,
    /// Keep them, stop reading, and go on when MongoDB is back.
    Pause,
}

/// How the worker batches, retries, commits and stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The most messages of one insert, unless all writers are busy; at most `consumer.max_in_flight_messages`.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 100))]
    pub batch_size: usize,

    /// The most messages of one insert while all writers are busy; 0 stands for `consumer.batch_size`.
    // After loading: never less than `batch_size`.
    #[schemars(range(min = 0, max = 100_000), extend("default" = 0))]
    pub max_batch_size: usize,

    /// The most payload bytes of one insert, at most `consumer.max_in_flight_bytes`; a larger message goes alone.
    #[schemars(range(min = 1, max = 268_435_456), extend("default" = 4_194_304))]
    pub batch_bytes: usize,

    /// Commit after so many messages; 1 commits after every batch.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 1000))]
    pub offset_commit_frequency: u64,

    /// Commit after so long at the latest.
    #[serde(rename = "offset_commit_interval_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 1, max = HOUR_MS), extend("default" = 1000))]
    pub offset_commit_interval: Duration,

    /// Attempts in all, to connect and to write a batch.
    #[schemars(range(min = 1, max = 100), extend("default" = 3))]
    pub max_retries: u32,

    /// The wait before the second attempt; it doubles from there.
    #[serde(rename = "retry_backoff_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 1, max = 60_000), extend("default" = 1000))]
    pub retry_backoff: Duration,

    /// Threads that write to MongoDB, each one batch at a time.
    #[schemars(range(min = 1, max = 256), extend("default" = 8))]
    pub writer_threads: usize,

    /// The most payload bytes taken off Kafka and not yet stored or dead-lettered.
    #[schemars(range(min = 1, max = 2_147_483_648_u32), extend("default" = 33_554_432))]
    pub max_in_flight_bytes: usize,

    /// The most messages taken off Kafka and not yet stored or dead-lettered.
    #[schemars(range(min = 1, max = 10_000_000), extend("default" = 20_000))]
    pub max_in_flight_messages: usize,

    /// The most rejected messages in a row, as the topic looks like the wrong one then; 0 sets no limit.
    #[schemars(range(min = 0, max = 1_000_000_000), extend("default" = 0))]
    pub max_consecutive_rejections: u64,

    /// The largest share of rejected messages among the last `consumer.rejection_window` of a partition; 1 sets no limit.
    #[schemars(with = "f64", range(min = 0, max = 1), extend("default" = 1))]
    pub max_rejection_ratio: Ratio,

    /// How many messages of a partition `consumer.max_rejection_ratio` is about.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 1000))]
    pub rejection_window: u32,

    /// What to do when more messages are rejected than these limits allow: stop, or pause until an operator resumes.
    #[schemars(extend("default" = "stop"))]
    pub on_flood: OnFlood,

    /// A partition that has work and doesn't move for so long is said to be stalled, and `/ready` answers 503.
    #[serde(rename = "stalled_after_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 1000, max = HOUR_MS), extend("default" = 60_000))]
    pub stalled_after: Duration,

    /// How often the files that the configuration names (certificates, passwords, a JSON Schema) are looked at: a change
    /// reloads it, as SIGHUP does; 0 looks never.
    #[serde(rename = "reload_interval_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 0, max = HOUR_MS), extend("default" = 60_000))]
    pub reload_interval: Duration,

    /// How long a stop may take; keep it below the grace period of the container.
    #[serde(rename = "shutdown_timeout_ms", with = "millis")]
    #[schemars(with = "u32", range(min = 1000, max = HOUR_MS), extend("default" = 25_000))]
    pub shutdown_timeout: Duration,
}

/// What to do when too many messages are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFlood {
    /// Stop the process with exit code 1.
    Stop,
    /// Take no more messages off Kafka, and reject none, until an operator resumes.
    Pause,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    /// The least severe level that is logged; `RUST_LOG` overrides it.
    #[serde(with = "level")]
    #[schemars(schema_with = "level::schema", extend("default" = "INFO"))]
    pub level: log::LevelFilter,

    /// One JSON object a line, the same with the names of the Elastic Common Schema, or text for people.
    #[schemars(extend("default" = "json"))]
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One JSON object a line, with the names of the Elastic Common Schema.
    Ecs,
    /// For people.
    Text,
}

/// Where metrics and health are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Whether to serve metrics and health; without it no port is opened.
    #[schemars(extend("default" = true))]
    pub enabled: bool,

    /// The address to serve them on.
    #[schemars(schema_with = "names::ip_address", extend("default" = "0.0.0.0"))]
    pub host: IpAddr,

    /// The port to serve them on; 0 takes any free one.
    #[schemars(extend("default" = 8001))]
    pub port: u16,
}

/// How an operator steers a running worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The Unix socket for the commands `status`, `top`, `pause` and `resume`; an empty text for none.
    #[schemars(schema_with = "names::socket", extend("default" = ""))]
    pub socket: String,
}

impl Control {
    /// `None`: there is no control socket.
    pub fn socket(&self) -> Option<&Path> {
        (!self.socket.is_empty()).then(|| Path::new(&self.socket))
    }
}

/// As the file has it, so that secrets are masked.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "Kafka {masked}")
    }
}
