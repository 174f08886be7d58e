//! The `dlq.*` headers of a dead letter: their names, how they are written, and how they are read.

use std::str::{self, FromStr};
use std::time::SystemTime;

use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::{Record, Timestamp};
use crate::core::rejection::Rejection;

const REASON: &str = "dlq.reason";
const ERROR: &str = "dlq.error";
const ERROR_CODE: &str = "dlq.error_code";
const TOPIC: &str = "dlq.topic";
const PARTITION: &str = "dlq.partition";
const OFFSET: &str = "dlq.offset";
const TIMESTAMP: &str = "dlq.timestamp";
const TIMESTAMP_TYPE: &str = "dlq.timestamp_type";
const FAILED_AT: &str = "dlq.failed_at";
const ATTEMPTS: &str = "dlq.attempts";
const CONSUMER_GROUP: &str = "dlq.consumer_group";
const INSTANCE: &str = "dlq.instance";
const REPLAY_COUNT: &str = "dlq.replay_count";
/// `true` if the value was too large for the dead letter topic and was left out.
pub const VALUE_OMITTED: &str = "dlq.value_omitted";
/// The size in bytes of the value that was left out.
pub const VALUE_SIZE: &str = "dlq.value_size";

/// The name of every header that the worker writes.
const NAMES: [&str; 15] = [
    REASON,
    ERROR,
    ERROR_CODE,
    TOPIC,
    PARTITION,
    OFFSET,
    TIMESTAMP,
    TIMESTAMP_TYPE,
    FAILED_AT,
    ATTEMPTS,
    CONSUMER_GROUP,
    INSTANCE,
    REPLAY_COUNT,
    VALUE_OMITTED,
    VALUE_SIZE,
];

/// The values of `dlq.timestamp_type`.
const CREATE_TIME: &str = "create_time";
const LOG_APPEND_TIME: &str = "log_append_time";

/// Whether the worker writes a header of this name. Such a header on a consumed record comes from an
/// earlier failure, and the new dead letter's header replaces it.
pub fn is_dead_letter_header(name: &str) -> bool {
    NAMES.contains(&name)
}

/// One `dlq.*` header.
pub type Header = (&'static str, String);

/// The consumer that writes dead letters. It is the same for the whole life of a process.
#[derive(Debug, Clone)]
pub struct ConsumerIdentity {
    /// The consumed topic.
    pub topic: String,
    pub consumer_group: String,
    /// This process within the group: host name and process id.
    pub instance: String,
}

/// What the `dlq.*` headers say: where a dead letter comes from, and why it is one.
///
/// A field is `None` if its header is missing or has a form that the worker never writes: the topic may
/// also hold records of other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterHeaders<'a> {
    /// The reason's code. A text, because another version of the worker may have other reasons.
    pub reason: Option<&'a str>,
    pub error: Option<&'a str>,
    pub error_code: Option<i32>,
    /// The consumed topic, and the place of the original record in it.
    pub topic: Option<&'a str>,
    pub partition: Option<TopicPartition>,
    pub offset: Option<Offset>,
    /// The timestamp of the original record.
    pub timestamp: Timestamp,
    pub failed_at: Option<jiff::Timestamp>,
    /// The number of inserts that the record was part of.
    pub attempts: Option<u32>,
    pub consumer_group: Option<&'a str>,
    pub instance: Option<&'a str>,
    /// 0 if there is no such header.
    pub replay_count: u32,
    pub value_omitted: bool,
    /// The size in bytes of the value that was left out.
    pub value_size: Option<u64>,
}

impl<'a> DeadLetterHeaders<'a> {
    /// The headers of a dead letter that has none of them.
    pub const NONE: Self = Self {
        reason: None,
        error: None,
        error_code: None,
        topic: None,
        partition: None,
        offset: None,
        timestamp: Timestamp::NotAvailable,
        failed_at: None,
        attempts: None,
        consumer_group: None,
        instance: None,
        replay_count: 0,
        value_omitted: false,
        value_size: None,
    };

    /// The headers of the dead letter that `record` becomes. `attempts` is the number of inserts that
    /// it was part of.
    pub fn of_rejection(
        identity: &'a ConsumerIdentity,
        record: &Record,
        rejection: &'a Rejection,
        attempts: u32,
        failed_at: SystemTime,
    ) -> Self {
        let (partition, offset) = record.source();
        Self {
            reason: Some(rejection.reason.as_str()),
            error: Some(&rejection.error),
            error_code: rejection.code,
            topic: Some(&identity.topic),
            partition: Some(partition),
            offset: Some(offset),
            timestamp: record.timestamp,
            failed_at: jiff::Timestamp::try_from(failed_at).ok(),
            attempts: Some(attempts),
            consumer_group: Some(&identity.consumer_group),
            instance: Some(&identity.instance),
            replay_count: record
                .replay
                .as_ref()
                .map_or(0, |replay| replay.replay_count.saturating_add(1)),
            value_omitted: false,
            value_size: None,
        }
    }

    /// Writes the headers, `dlq.reason` first.
    pub fn write(&self) -> Vec<Header> {
        let (millis, timestamp_type) = match self.timestamp {
            Timestamp::NotAvailable => (None, None),
            Timestamp::CreateTime(millis) => (Some(millis), Some(CREATE_TIME)),
            Timestamp::LogAppendTime(millis) => (Some(millis), Some(LOG_APPEND_TIME)),
        };
        let text = |value: Option<&str>| value.map(str::to_owned);
        [
            (REASON, text(self.reason)),
            (ERROR, text(self.error)),
            (ERROR_CODE, self.error_code.map(|code| code.to_string())),
            (TOPIC, text(self.topic)),
            (PARTITION, self.partition.map(|number| number.to_string())),
            (OFFSET, self.offset.map(|offset| offset.to_string())),
            (TIMESTAMP, millis.map(|millis| millis.to_string())),
            (TIMESTAMP_TYPE, text(timestamp_type)),
            // UTC, milliseconds, `Z`.
            (FAILED_AT, self.failed_at.map(|at| format!("{at:.3}"))),
            (ATTEMPTS, self.attempts.map(|count| count.to_string())),
            (CONSUMER_GROUP, text(self.consumer_group)),
            (INSTANCE, text(self.instance)),
            (REPLAY_COUNT, Some(self.replay_count.to_string())),
            (VALUE_OMITTED, self.value_omitted.then(|| "true".to_owned())),
            (VALUE_SIZE, self.value_size.map(|size| size.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// Reads the headers of a record.
    ///
    /// If there are several headers of one name, the last one counts. A record can still have the
    /// headers of an earlier failure, before the newer ones: the producer can't remove them if another
    /// header's name isn't UTF-8.
    pub fn read(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut read = Self::NONE;
        let (mut millis, mut timestamp_type) = (None, None);
        for (name, value) in headers {
            let text = value.and_then(|value| str::from_utf8(value).ok());
            match name {
                REASON => {
                    read.reason = text;
                    // A dead letter's headers begin with the reason. Not every dead letter has the
                    // following ones, so those of an earlier failure must not stay.
                    read.error_code = None;
                    (millis, timestamp_type) = (None, None);
                    read.value_omitted = false;
                    read.value_size = None;
                }
                ERROR => read.error = text,
                ERROR_CODE => read.error_code = parse(text),
                TOPIC => read.topic = text,
                PARTITION => read.partition = parse(text).map(TopicPartition::consumed),
                OFFSET => read.offset = parse(text).map(Offset),
                TIMESTAMP => millis = parse(text),
                TIMESTAMP_TYPE => timestamp_type = text,
                FAILED_AT => read.failed_at = parse(text),
                ATTEMPTS => read.attempts = parse(text),
                CONSUMER_GROUP => read.consumer_group = text,
                INSTANCE => read.instance = text,
                REPLAY_COUNT => read.replay_count = parse(text).unwrap_or(0),
                VALUE_OMITTED => read.value_omitted = text == Some("true"),
                VALUE_SIZE => read.value_size = parse(text),
                _ => {}
            }
        }
        read.timestamp = match (millis, timestamp_type) {
            (Some(millis), Some(CREATE_TIME)) => Timestamp::CreateTime(millis),
            (Some(millis), Some(LOG_APPEND_TIME)) => Timestamp::LogAppendTime(millis),
            _ => Timestamp::NotAvailable,
        };
        read
    }

    /// The place of the original record in `topic`. `None` if it doesn't come from that topic, or its
    /// partition or offset is unknown.
    pub fn source_in(&self, topic: &str) -> Option<(TopicPartition, Offset)> {
        if self.topic != Some(topic) {
            return None;
        }
        Some((self.partition?, self.offset?))
    }
}

fn parse<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests;
