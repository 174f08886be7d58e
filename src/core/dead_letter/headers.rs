//! What a dead letter's headers say, read back. The inverse of [`Origin::headers`].
//!
//! [`Origin::headers`]: super::Origin::headers

use std::str::{self, FromStr};

use super::{VALUE_OMITTED, VALUE_SIZE};
use crate::core::partition::{Offset, Partition};
use crate::core::record::Timestamp;

/// Where a dead letter comes from, and why it is one. What a header doesn't say, or says in a form
/// that we never write, is `None`: a topic may hold foreign records, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// As it stands there: another version may know other reasons.
    pub reason: Option<&'a str>,
    pub error: Option<&'a str>,
    pub error_code: Option<i32>,
    pub topic: Option<&'a str>,
    pub partition: Option<Partition>,
    pub offset: Option<Offset>,
    /// The original's.
    pub timestamp: Timestamp,
    pub failed_at: Option<jiff::Timestamp>,
    pub attempts: Option<u32>,
    pub consumer_group: Option<&'a str>,
    pub instance: Option<&'a str>,
    /// 0 where nothing is said.
    pub replay_count: u32,
    pub value_omitted: bool,
    /// Bytes of the value that was left out.
    pub value_size: Option<u64>,
}

impl<'a> Provenance<'a> {
    /// Of several headers of one name the last one counts: where the earlier ones of ours could not be
    /// taken out, the newer ones follow them.
    #[must_use]
    pub fn of(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut found = Self {
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
        let (mut millis, mut kind) = (None, None);
        for (name, value) in headers {
            let text = value.and_then(|value| str::from_utf8(value).ok());
            match name {
                "dlq.reason" => {
                    found.reason = text;
                    // Not every dead letter has these: none may stay of an earlier one.
                    found.error_code = None;
                    (millis, kind) = (None, None);
                    found.value_omitted = false;
                    found.value_size = None;
                }
                "dlq.error" => found.error = text,
                "dlq.error_code" => found.error_code = number(text),
                "dlq.topic" => found.topic = text,
                "dlq.partition" => found.partition = number(text).map(Partition),
                "dlq.offset" => found.offset = number(text).map(Offset),
                "dlq.timestamp" => millis = number(text),
                "dlq.timestamp_type" => kind = text,
                "dlq.failed_at" => found.failed_at = number(text),
                "dlq.attempts" => found.attempts = number(text),
                "dlq.consumer_group" => found.consumer_group = text,
                "dlq.instance" => found.instance = text,
                "dlq.replay_count" => found.replay_count = number(text).unwrap_or(0),
                VALUE_OMITTED => found.value_omitted = text == Some("true"),
                VALUE_SIZE => found.value_size = number(text),
                _ => {}
            }
        }
        found.timestamp = match (millis, kind) {
            (Some(millis), Some("create_time")) => Timestamp::CreateTime(millis),
            (Some(millis), Some("log_append_time")) => Timestamp::LogAppendTime(millis),
            _ => Timestamp::NotAvailable,
        };
        found
    }

    /// Where the original stands in `topic`; `None` if it isn't of that topic.
    #[must_use]
    pub fn source_in(&self, topic: &str) -> Option<(Partition, Offset)> {
        if self.topic != Some(topic) {
            return None;
        }
        Some((self.partition?, self.offset?))
    }
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}
