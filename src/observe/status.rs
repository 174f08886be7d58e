//! What `/status` answers, as types. The JSON Schema is made from them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The number of this format. It grows when a field is removed or changes its meaning; new fields may come at any time.
pub const FORMAT: u32 = 1;

/// What a worker is doing now. It contains no message and no secret. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The number of this format. It grows when a field is removed or changes its meaning; new fields may come at any
    /// time.
    pub format: u32,
    pub worker: Identity,
    /// The worker's clock.
    pub now: String,
    pub started_at: String,
    pub uptime_seconds: f64,
    pub state: State,
    /// Since when the worker is in this state.
    pub state_since: String,
    /// As `/health` answers: whether the poll loop runs and every thread lives.
    pub alive: bool,
    /// As `/ready` answers.
    pub ready: bool,
    /// Why the worker isn't ready; empty if it is.
    pub reasons: Vec<String>,
    /// Set while an operator has paused the worker.
    pub pause: Option<Pause>,
    pub kafka: Connection,
    pub mongodb: Connection,
    /// The partitions of this worker, ascending; `null` before the first assignment.
    pub partitions: Option<Vec<PartitionStatus>>,
    /// The replay after an outage; `null` unless `mongodb.replay_after_outage` is on.
    pub outage_replay: Option<OutageReplay>,
    pub in_flight: InFlight,
    pub writers: Writers,
    pub totals: Totals,
    pub measurements: Measurements,
    pub resources: Resources,
    /// The last warnings and errors of the log, the newest first; those with the same message are one.
    pub problems: Vec<Problem>,
}

/// Who this worker is, and what it reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    pub version: String,
    /// The host's name and the process id.
    pub instance: String,
    pub group: String,
    pub topic: String,
    pub dead_letter_topic: String,
    pub database: String,
    pub collection: String,
    pub on_mongodb_unavailable: OnMongodbUnavailable,
}

/// What happens to messages while MongoDB is unavailable, as `mongodb.on_unavailable` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMongodbUnavailable {
    /// They go to the dead letter topic.
    #[default]
    DeadLetter,
    /// They wait.
    Pause,
}

/// What the worker is doing. If several apply, the first of this list is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It settles what is in flight, commits, and ends.
    Stopping,
    /// It connects, or waits for its first assignment.
    Starting,
    /// Kafka can't be reached.
    KafkaUnreachable,
    /// The topic does not exist.
    TopicMissing,
    /// MongoDB takes no writes. Messages are redirected, or wait, as `mongodb.on_unavailable` says.
    MongodbUnavailable,
    /// An operator has paused it.
    Paused,
    /// A partition has work and does not move on.
    Stalled,
    /// It has no partition, and takes over when another worker ends.
    Standby,
    /// It reads and stores.
    Running,
}

impl State {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Starting => "starting",
            Self::KafkaUnreachable => "Kafka unreachable",
            Self::TopicMissing => "topic missing",
            Self::MongodbUnavailable => "MongoDB unavailable",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Standby => "standby",
            Self::Running => "running",
        }
    }
}

/// An operator's order to take no messages off Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    pub since: String,
    /// Who gave the order.
    pub by: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The worker has paused itself, because too many messages were rejected.
    #[serde(default)]
    pub is_flood: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    pub available: bool,
    /// Since when this is so.
    pub since: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionStatus {
    pub partition: i32,
    /// The next offset to read, as the group has committed it; `null` before the first commit is known.
    pub committed_offset: Option<i64>,
    /// Messages taken off Kafka and not settled.
    pub in_flight: u64,
    /// Offsets from the committable one to the partition's end; `null` while that isn't known.
    pub lag: Option<i64>,
    /// The age of the oldest message that isn't committed, by its timestamp; 0 if all are, `null` while it isn't known.
    /// What is settled is committed a moment later, so this may be above 0 where the lag is 0.
    pub lag_seconds: Option<f64>,
    /// It has work and does not move on.
    pub stalled: bool,
}

/// Messages taken off Kafka and not yet stored or dead-lettered, and how many there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InFlight {
    pub messages: i64,
    pub bytes: i64,
    /// The age of the oldest of them.
    pub oldest_seconds: f64,
    pub max_messages: u64,
    pub max_bytes: u64,
}

/// Dead letters of an outage of MongoDB, which this worker stores once MongoDB is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutageReplay {
    /// Offsets of this worker's share of the dead letter topic that are still to be looked at or to be settled. Dead
    /// letters with other reasons count until they are passed over. `null` until this worker knows its share.
    pub waiting: Option<i64>,
    /// Dead letters that are stored now, since the worker started.
    pub stored: u64,
    /// Dead letters that MongoDB refused: they are dead letters again, with the reason.
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Writers {
    /// Those that work on a batch.
    pub busy: i64,
    pub threads: i64,
}

/// Counts since the worker started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Messages taken off Kafka.
    pub consumed: u64,
    /// Messages newly stored.
    pub stored: u64,
    /// Messages that MongoDB had already, identical.
    pub already_stored: u64,
    /// Messages that Kafka acknowledged as dead letters.
    pub dead_lettered: u64,
    /// The dead letters by reason; reasons without any are left out.
    pub dead_lettered_by_reason: BTreeMap<String, u64>,
    /// Inserts tried again.
    pub mongodb_retries: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// Offsets that retention deleted before they were read: lost data.
    pub offsets_skipped: u64,
    /// Rebalances that assigned, revoked or lost partitions.
    pub rebalances: u64,
}

/// Counts and sums since the worker started. The difference of two answers gives the mean between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurements {
    /// Messages in each batch.
    pub batch_size: Sum,
    /// Seconds of each insert.
    pub mongodb_write_seconds: Sum,
    /// Seconds of each commit.
    pub commit_seconds: Sum,
    /// Seconds from taken off Kafka to settled, for each message.
    pub processing_seconds: Sum,
    /// Seconds from a message's timestamp until it was stored.
    pub delivery_delay_seconds: Sum,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sum {
    pub count: u64,
    pub sum: f64,
}

/// What the process uses. A value that the system doesn't tell is `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    pub cpu_seconds: Option<f64>,
    pub memory_bytes: Option<u64>,
    /// The memory limit of the container.
    pub memory_limit_bytes: Option<u64>,
    /// The most memory that the process can take under its configuration.
    pub memory_worst_case_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub max_open_files: Option<u64>,
}

/// A warning or an error of the log, as it came last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    pub at: String,
    pub level: Level,
    pub message: String,
    /// The fields of the log line, such as `partition`, `offset` and `reason`.
    pub fields: Map<String, Value>,
    /// How often this message was logged.
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Warning,
    Error,
}

/// A time as all of them are written here.
pub fn time_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The JSON Schema of `/status`, as `docs/status.schema.json` has it.
pub fn schema_text() -> String {
    let schema = schemars::schema_for!(Status);
    let text = serde_json::to_string_pretty(&schema).expect("invariant: a schema is JSON");
    // The line breaks of the comments above mean nothing.
    text.replace("\\n", " ") + "\n"
}
