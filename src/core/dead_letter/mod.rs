//! What a dead letter says of itself: the `dlq.*` headers of a record and its rejection, and what can
//! be read from them again.

mod index;
mod provenance;
mod selection;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use super::record::{Record, Timestamp};
use super::rejection::Rejection;

pub use index::{DeadLetterIndex, IndexBuilder, Indexed};
pub use provenance::Provenance;
pub use selection::{Choice, Selection};

/// The headers of ours; earlier ones on a record are replaced.
const OURS: [&str; 15] = [
    "dlq.reason",
    "dlq.error",
    "dlq.error_code",
    "dlq.topic",
    "dlq.partition",
    "dlq.offset",
    "dlq.timestamp",
    "dlq.timestamp_type",
    "dlq.failed_at",
    "dlq.attempts",
    "dlq.consumer_group",
    "dlq.instance",
    "dlq.replay_count",
    VALUE_OMITTED,
    VALUE_SIZE,
];

/// Whether a header of this name is one that the worker writes.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// Headers that say the value was left out.
pub const VALUE_OMITTED: &str = "dlq.value_omitted";
pub const VALUE_SIZE: &str = "dlq.value_size";

/// Where dead letters come from: the same for all of a process.
#[derive(Debug, Clone)]
pub struct Origin {
    pub topic: String,
    pub consumer_group: String,
    /// This process among the group's: host name and process id.
    pub instance: String,
}

/// One header of ours.
pub type Header = (&'static str, String);

impl Origin {
    /// The headers of `record`'s dead letter. `attempts` is how many inserts it was part of.
    #[must_use]
    pub fn headers(
        &self,
        record: &Record,
        rejection: &Rejection,
        attempts: u32,
        failed_at: SystemTime,
    ) -> Vec<Header> {
        let mut headers = vec![
            ("dlq.reason", rejection.reason.as_str().to_owned()),
            ("dlq.error", rejection.error.clone()),
        ];
        if let Some(code) = rejection.code {
            headers.push(("dlq.error_code", code.to_string()));
        }
        let (partition, offset) = record.source();
        headers.extend([
            ("dlq.topic", self.topic.clone()),
            ("dlq.partition", partition.to_string()),
            ("dlq.offset", offset.to_string()),
        ]);
        let timestamp = match record.timestamp {
            Timestamp::NotAvailable => None,
            Timestamp::CreateTime(millis) => Some((millis, "create_time")),
            Timestamp::LogAppendTime(millis) => Some((millis, "log_append_time")),
        };
        if let Some((millis, kind)) = timestamp {
            headers.push(("dlq.timestamp", millis.to_string()));
            headers.push(("dlq.timestamp_type", kind.to_owned()));
        }
        let replay_count = record
            .replay
            .as_ref()
            .map_or(0, |replay| replay.replay_count.saturating_add(1));
        headers.extend([
            ("dlq.failed_at", rfc3339(failed_at)),
            ("dlq.attempts", attempts.to_string()),
            ("dlq.consumer_group", self.consumer_group.clone()),
            ("dlq.instance", self.instance.clone()),
            ("dlq.replay_count", replay_count.to_string()),
        ]);
        headers
    }
}

/// UTC, milliseconds, `Z`.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.3}"))
}
