//! What the program needs to know: checked, typed, with units. Nothing later checks it again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::masking::masked;
use super::secret_uri::SecretUri;

/// Defines an enum whose variants have names in the configuration.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The names in the configuration.
            pub const NAMES: &'static [&'static str] = &[$($text,)+];

            /// The name in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub kafka: Kafka,
    pub mongodb: Mongodb,
    pub consumer: Consumer,
    pub logging: Logging,
    pub metrics: Metrics,
}

/// Where the messages come from, and where the dead letters go.
#[derive(Clone, PartialEq)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topic that is read; a legal name, never a pattern.
    pub topic: String,
    /// The consumer group; never empty.
    pub group_id: String,
    /// Where records go that can't be stored; never `topic`.
    pub dead_letter_topic: String,
    /// Where to begin without a committed offset.
    pub auto_offset_reset: AutoOffsetReset,
    /// The longest that one poll waits when nothing is in hand; 1 ms to 60 s.
    pub poll_timeout: Duration,
    /// librdkafka properties of the consumer: `kafka.properties`, and over them
    /// `kafka.consumer_properties`. None of them is one that the worker sets itself.
    pub consumer_properties: BTreeMap<String, String>,
    /// librdkafka properties of the dead letter producer: `kafka.properties`, and over them
    /// `kafka.producer_properties`. None of them weakens the promise.
    pub producer_properties: BTreeMap<String, String>,
    /// What to do with a dead letter that is too large for its topic.
    pub dead_letter_oversize: DeadLetterOversize,
    /// `max.poll.interval.ms` of the consumer, at least 10 s: it bounds what a revoke may take.
    pub max_poll_interval: Duration,
}

choice! {
    /// Where to begin in a partition for which the group has no committed offset.
    AutoOffsetReset {
        /// With the oldest record that is left.
        Earliest = "earliest",
        /// With what comes from now on.
        Latest = "latest",
    }
}

choice! {
    /// What to do with a dead letter that the broker refuses for its size.
    DeadLetterOversize {
        /// Stop the process with an error; nothing is given up.
        Stop = "stop",
        /// Send it without its value; the headers say so.
        OmitValue = "omit_value",
    }
}

/// Where the documents are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Mongodb {
    /// Begins with `mongodb://` or `mongodb+srv://`; whether the rest is sound, the driver says.
    pub uri: SecretUri,
    /// A legal name, none of the server's own databases.
    pub database: String,
    /// A legal name, none of the server's own collections.
    pub collection: String,
    /// What to do with records while MongoDB is unavailable.
    pub on_unavailable: OnUnavailable,
    /// How often MongoDB is tried again while it is unavailable.
    pub reconnect_interval: Duration,
    /// The write concern that every insert must use, whatever the URI says: what the URI asks for has
    /// been taken over here, or was refused.
    pub write_concern: WriteConcern,
}

choice! {
    /// What to do with records while MongoDB is unavailable.
    OnUnavailable {
        /// Send them to the dead letter topic, and go on reading.
        DeadLetter = "dead_letter",
        /// Keep them, stop reading, and go on when MongoDB is back.
        Pause = "pause",
    }
}

/// When an insert counts as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteConcern {
    /// Which members must have the write.
    pub w: W,
    /// Whether the write must be in the journal. Without it a crash of the server can take up to
    /// 100 ms of acknowledged writes with it.
    pub journal: bool,
}

/// Which members must have a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum W {
    /// So many, 1 to 50; 1 is the primary alone, of which a failover can lose writes.
    Nodes(u32),
    Majority,
    /// A custom write concern of the replica set, by its name.
    Tag(String),
}

/// How the worker batches, retries, commits and stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The most records of one insert; never above `max_in_flight_messages`.
    pub batch_size: usize,
    /// The most payload bytes of one insert; one record alone may exceed it. Never above
    /// `max_in_flight_bytes`.
    pub batch_bytes: usize,
    /// Commit after so many settled messages.
    pub offset_commit_frequency: u64,
    /// Commit what is settled after so long at the latest.
    pub offset_commit_interval: Duration,
    /// Attempts in all, at least 1.
    pub max_retries: u32,
    /// The wait before the second attempt; it grows from there. At most 60 s.
    pub retry_backoff: Duration,
    /// Threads that write, at least 1.
    pub writer_threads: usize,
    /// The most bytes taken off Kafka and not yet settled.
    pub max_in_flight_bytes: usize,
    /// The most messages taken off Kafka and not yet settled.
    pub max_in_flight_messages: usize,
    /// Stop after so many rejected messages in a row; 0 means never.
    pub max_consecutive_rejections: u64,
    /// How long a stop may take, at least 1 s.
    pub shutdown_timeout: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    /// The least severe level that is logged.
    pub level: log::LevelFilter,
    /// How a line looks.
    pub format: LogFormat,
}

choice! {
    /// How a log line looks.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

/// Where metrics and health are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// Whether a port is opened at all.
    pub enabled: bool,
    /// The address to listen on.
    pub host: IpAddr,
    /// 0 takes any free port.
    pub port: u16,
}

/// The number of members as a number, the rest as text: as it stands in the configuration.
impl fmt::Display for W {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => nodes.fmt(f),
            Self::Majority => f.write_str("majority"),
            Self::Tag(tag) => f.write_str(tag),
        }
    }
}

/// As it would be derived, but the properties are masked.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("group_id", &self.group_id)
            .field("dead_letter_topic", &self.dead_letter_topic)
            .field("auto_offset_reset", &self.auto_offset_reset)
            .field("poll_timeout", &self.poll_timeout)
            .field("consumer_properties", &masked(&self.consumer_properties))
            .field("producer_properties", &masked(&self.producer_properties))
            .field("dead_letter_oversize", &self.dead_letter_oversize)
            .field("max_poll_interval", &self.max_poll_interval)
            .finish()
    }
}
