//! What a dead letter says of itself: the `dlq.*` headers of a record and its rejection.

use std::time::{Instant, SystemTime};

use super::partition::RecordId;
use super::record::{Record, Timestamp};
use super::rejection::{Reason, Rejection};

/// All headers of ours begin with this; earlier ones on a record are replaced.
pub const HEADER_PREFIX: &str = "dlq.";

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

/// What to settle once Kafka has acknowledged the dead letter.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub id: RecordId,
    pub reason: Reason,
    pub bytes: usize,
    pub taken_at: Instant,
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
        headers.extend([
            ("dlq.topic", self.topic.clone()),
            ("dlq.partition", record.id.partition.to_string()),
            ("dlq.offset", record.id.offset.to_string()),
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
        headers.extend([
            ("dlq.failed_at", rfc3339(failed_at)),
            ("dlq.attempts", attempts.to_string()),
            ("dlq.consumer_group", self.consumer_group.clone()),
            ("dlq.instance", self.instance.clone()),
            ("dlq.replay_count", "0".to_owned()),
        ]);
        headers
    }
}

/// UTC, milliseconds, `Z`.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| String::new(), |timestamp| format!("{timestamp:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::{Epoch, Offset, Partition};
    use crate::core::record::Batch;

    #[test]
    fn headers_name_the_source_and_the_reason() {
        let mut batch = Batch::new(Instant::now());
        let id = RecordId {
            partition: Partition(3),
            epoch: Epoch(1),
            offset: Offset(42),
        };
        batch.push(
            id,
            Timestamp::CreateTime(1_700_000_000_123),
            None,
            Some(b"x"),
            None,
        );
        let origin = Origin {
            topic: "data-topic".to_owned(),
            consumer_group: "group".to_owned(),
            instance: "host-1".to_owned(),
        };
        let rejection = Rejection {
            code: Some(121),
            ..Rejection::new(Reason::WriteRejected, "refused")
        };
        let headers = origin.headers(&batch.records()[0], &rejection, 2, SystemTime::UNIX_EPOCH);
        let expected = [
            ("dlq.reason", "write_rejected"),
            ("dlq.error", "refused"),
            ("dlq.error_code", "121"),
            ("dlq.topic", "data-topic"),
            ("dlq.partition", "3"),
            ("dlq.offset", "42"),
            ("dlq.timestamp", "1700000000123"),
            ("dlq.timestamp_type", "create_time"),
            ("dlq.failed_at", "1970-01-01T00:00:00.000Z"),
            ("dlq.attempts", "2"),
            ("dlq.consumer_group", "group"),
            ("dlq.instance", "host-1"),
            ("dlq.replay_count", "0"),
        ];
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(headers, expected);
    }
}
