//! librdkafka's log lines. All of them are forwarded to the worker's log. A few are also read, because librdkafka
//! reports some events in no other way.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;

use crate::core::partition::TopicPartition;

/// Logs librdkafka's own lines under its name.
pub(super) fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let level = match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        // librdkafka recovers from these by itself. What it can't recover from comes through `poll`.
        | RDKafkaLogLevel::Warning => log::Level::Warn,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => log::Level::Info,
        RDKafkaLogLevel::Debug => log::Level::Debug,
    };
    log::log!(target: "librdkafka", level, "{facility}: {message}");
}

/// Whether this is the error that rdkafka logs when a consumer is dropped after it was closed. The worker always
/// closes its consumer first, so the line means nothing.
pub fn is_log_noise(record: &log::Record<'_>) -> bool {
    record.target() == "rdkafka::consumer::base_consumer"
        && record.args().to_string().contains("consumer queue on drop")
}

/// The debug context whose lines say that a topic has another id.
pub(super) const RECREATION_CONTEXT: &str = "metadata";

/// What librdkafka's log said about the consumed topic since the last [`LogSigns::take`]. librdkafka's log is read on
/// the threads that poll or ask, and the poller takes the signs.
#[derive(Debug, Default)]
pub(super) struct LogSigns {
    events: AtomicU8,
    topic_id: Mutex<Option<String>>,
}

/// The events that the log has reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogEvents {
    pub(super) was_offset_reset: bool,
    pub(super) was_recreated: bool,
    /// The topic's id, if it is to be compared with the ids in the group's commits.
    pub(super) id_to_compare: Option<String>,
}

/// What is to be done because of the events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TopicSigns {
    /// An offset was out of its log's range, and librdkafka went on at the earliest one.
    pub was_offset_reset: bool,
    /// The topic was deleted and recreated.
    pub recreated: Option<Recreation>,
}

/// When a topic was deleted and recreated.
#[derive(Debug, PartialEq, Eq)]
pub enum Recreation {
    /// What is read from now on is another log.
    UnderThisWorker,
    /// These partitions went on from commits of the old topic.
    BeforeTheStart(Vec<TopicPartition>),
}

const OFFSET_RESET: u8 = 1;
const RECREATED: u8 = 2;
const COMPARE_IDS: u8 = 4;

impl LogSigns {
    pub(super) fn read(&self, facility: &str, message: &str, topic: &str) {
        if facility == "OFFSET" && message.contains("offset reset") {
            self.events.fetch_or(OFFSET_RESET, Ordering::Release);
        }
        if facility == "METADATA"
            && let Some((before, after)) = changed_id(message, topic)
        {
            *self.id() = Some(after.to_owned());
            // A change from the id zero is none: the topic had no id before, because librdkafka hadn't asked for it.
            let is_recreation = if is_zero(before) { 0 } else { RECREATED };
            self.events
                .fetch_or(COMPARE_IDS | is_recreation, Ordering::Release);
        }
    }

    /// Partitions have begun: the ids in their commits are to be compared with the topic's id.
    pub(super) fn compare_ids(&self) {
        self.events.fetch_or(COMPARE_IDS, Ordering::Release);
    }

    /// Whether the topic was recreated. Leaves the sign for [`LogSigns::take`].
    pub(super) fn has_recreation(&self) -> bool {
        self.events.load(Ordering::Acquire) & RECREATED != 0
    }

    /// The topic's id, unless there are events about it that nobody has taken.
    pub(super) fn settled_id(&self) -> Option<String> {
        let is_open = self.events.load(Ordering::Acquire) & (RECREATED | COMPARE_IDS) != 0;
        self.id().clone().filter(|_| !is_open)
    }

    /// `None` if there was no event.
    pub(super) fn take(&self) -> Option<LogEvents> {
        // A swap costs more than a load, and this is asked for every message.
        if self.events.load(Ordering::Acquire) == 0 {
            return None;
        }
        let events = self.events.swap(0, Ordering::AcqRel);
        let id = self.id().clone();
        Some(LogEvents {
            was_offset_reset: events & OFFSET_RESET != 0,
            was_recreated: events & RECREATED != 0,
            id_to_compare: id.filter(|_| events & COMPARE_IDS != 0),
        })
    }

    fn id(&self) -> MutexGuard<'_, Option<String>> {
        self.topic_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The topic's ids before and after, if the line says that its id has changed. librdkafka logs it before it reads by the
/// new id. A topic of brokers that are too old for ids has the id zero.
fn changed_id<'m>(message: &'m str, topic: &str) -> Option<(&'m str, &'m str)> {
    let (_, change) = message.split_once(&format!("Topic {topic} changed id from "))?;
    let (before, after) = change.split_once(" to ")?;
    let (before, after) = (before.trim(), after.trim());
    (!is_zero(after)).then_some((before, after))
}

fn is_zero(id: &str) -> bool {
    id.chars().all(|c| c == 'A' || c == '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_another_id_was_recreated() {
        let signs = LogSigns::default();
        let (zero, old, new) = (
            "AAAAAAAAAAAAAAAAAAAAAA",
            "8ziVJlOoT8aUjBBKNu8bvA",
            "hBWUlkCOQk6Iqjvk5dFjOg",
        );
        let read = |topic: &str, before: &str, after: &str| {
            let line = format!("[thrd:main]: Topic {topic} changed id from {before} to {after}");
            signs.read("METADATA", &line, "t");
            signs.take()
        };
        let compared = |id: &str, was_recreated| LogEvents {
            was_offset_reset: false,
            was_recreated,
            id_to_compare: Some(id.to_owned()),
        };
        assert_eq!(read("t", zero, old), Some(compared(old, false)));
        assert_eq!(read("s", old, new), None, "another topic");
        assert_eq!(read("t", old, zero), None, "no id");
        assert_eq!(read("t", old, new), Some(compared(new, true)));
        assert_eq!(signs.take(), None, "it is said once");
    }

    #[test]
    fn an_id_is_settled_when_its_events_were_taken() {
        let signs = LogSigns::default();
        signs.compare_ids();
        assert_eq!(signs.settled_id(), None);
        signs.read("METADATA", "Topic t changed id from AA to new", "t");
        assert_eq!(signs.settled_id(), None);
        signs.take();
        assert_eq!(signs.settled_id().as_deref(), Some("new"));
    }
}
