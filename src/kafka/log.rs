//! librdkafka's log lines. All of them are forwarded to the worker's log. A few are also read, because librdkafka
//! reports some events in no other way.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;

use super::errors::without_secrets;
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
    log::log!(target: "librdkafka", level, "{facility}: {}", without_secrets(message));
}

/// Whether this is the error that rdkafka logs when a consumer is dropped after it was closed. The worker always
/// closes its consumer first, so the line means nothing.
pub fn is_log_noise(record: &log::Record<'_>) -> bool {
    record.target() == "rdkafka::consumer::base_consumer"
        && record.args().to_string().contains("consumer queue on drop")
}

/// The debug context whose lines say that a topic has another id.
pub(super) const RECREATION_CONTEXT: &str = "metadata";

/// The debug context whose lines say that the brokers lack the group protocol of KIP-848. librdkafka then looks for the
/// group's coordinator again and again, and reports that in no other way.
pub(super) const GROUP_CONTEXT: &str = "cgrp";

/// What librdkafka's log said about the consumed topic since the last [`LogSigns::take`]. librdkafka's log is read on
/// the threads that poll or ask, and the poller takes the signs.
#[derive(Debug, Default)]
pub(super) struct LogSigns {
    /// Whether there is anything to take. Only a hint, because the poller looks after every poll.
    has_news: AtomicBool,
    signs: Mutex<Signs>,
    lacks_group_protocol: AtomicBool,
}

/// Behind one lock: an id must not be seen without its events.
#[derive(Debug, Default)]
struct Signs {
    was_offset_reset: bool,
    was_recreated: bool,
    comparison: Comparison,
    topic_id: Option<String>,
}

/// Whether the topic's id is to be compared with the ids in the group's commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Comparison {
    #[default]
    Done,
    /// After the next poll: lines of the log that came before the partitions began may still be in the client's queue.
    AfterTheNextPoll,
    Due,
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

/// When a topic was deleted and recreated, and the partitions of this worker that were read of the old one.
#[derive(Debug, PartialEq, Eq)]
pub enum Recreation {
    /// What is read of these partitions from now on is another log.
    UnderThisWorker(Vec<TopicPartition>),
    /// These partitions went on from commits of the old topic.
    BeforeTheStart(Vec<TopicPartition>),
}

impl LogSigns {
    pub(super) fn read(&self, facility: &str, message: &str, topic: &str) {
        if facility == "OFFSET" && message.contains("offset reset") {
            self.note(|signs| signs.was_offset_reset = true);
        }
        if facility == "COORD"
            && message.contains("ConsumerGroupHeartbeatRequest not supported by broker")
        {
            self.lacks_group_protocol.store(true, Ordering::Relaxed);
        }
        if facility == "METADATA"
            && let Some((before, after)) = changed_id(message, topic)
        {
            self.note(|signs| {
                // A change from the id zero is none: the topic had no id before, because librdkafka hadn't asked for
                // it.
                signs.was_recreated |= !is_zero(before);
                signs.comparison = Comparison::Due;
                signs.topic_id = Some(after.to_owned());
            });
        }
    }

    /// Whether a broker has shown that it lacks the group protocol of KIP-848.
    pub(super) fn lacks_group_protocol(&self) -> bool {
        self.lacks_group_protocol.load(Ordering::Relaxed)
    }

    /// Partitions have begun: the ids in their commits are to be compared with the topic's id.
    pub(super) fn compare_ids(&self) {
        self.note(|signs| signs.comparison = Comparison::AfterTheNextPoll);
    }

    /// Whether the topic was recreated. Leaves the sign for [`LogSigns::take`].
    pub(super) fn has_recreation(&self) -> bool {
        self.signs().was_recreated
    }

    /// The topic's id, unless there are events about it that nobody has taken.
    pub(super) fn settled_id(&self) -> Option<String> {
        let signs = self.signs();
        let is_settled = !signs.was_recreated && signs.comparison == Comparison::Done;
        signs.topic_id.clone().filter(|_| is_settled)
    }

    /// To be called after each poll. `None` if there was no event.
    pub(super) fn take(&self) -> Option<LogEvents> {
        if !self.has_news.load(Ordering::Acquire) {
            return None;
        }
        let mut signs = self.signs();
        let comparison = signs.comparison;
        signs.comparison = match comparison {
            Comparison::AfterTheNextPoll => Comparison::Due,
            Comparison::Due | Comparison::Done => Comparison::Done,
        };
        self.has_news
            .store(signs.comparison == Comparison::Due, Ordering::Release);
        Some(LogEvents {
            was_offset_reset: mem::take(&mut signs.was_offset_reset),
            was_recreated: mem::take(&mut signs.was_recreated),
            id_to_compare: signs
                .topic_id
                .clone()
                .filter(|_| comparison == Comparison::Due),
        })
    }

    fn note(&self, change: impl FnOnce(&mut Signs)) {
        let mut signs = self.signs();
        change(&mut signs);
        self.has_news.store(true, Ordering::Release);
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_broker_without_the_new_group_protocol_is_noticed() {
        let signs = LogSigns::default();
        let dead = "[thrd:main]: Group \"g\": marking the coordinator (1) dead";
        signs.read("COORD", &format!("{dead}: Local: Timed out: x"), "t");
        assert!(!signs.lacks_group_protocol());
        let reason = "Local: Required feature not supported by broker: \
                      ConsumerGroupHeartbeatRequest not supported by broker";
        signs.read("COORD", &format!("{dead}: {reason}"), "t");
        assert!(signs.lacks_group_protocol());
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

    #[test]
    fn commits_are_compared_with_what_the_poll_after_the_start_tells() {
        let signs = LogSigns::default();
        signs.read("METADATA", "Topic t changed id from AA to old", "t");
        signs.take();
        signs.compare_ids();
        let compared = || signs.take().and_then(|events| events.id_to_compare);
        assert_eq!(compared(), None, "the new id may still be in the queue");
        assert_eq!(signs.settled_id(), None);
        assert_eq!(compared().as_deref(), Some("old"));
        assert_eq!(signs.take(), None);
        signs.compare_ids();
        assert_eq!(compared(), None);
        signs.read("METADATA", "Topic t changed id from old to new", "t");
        assert_eq!(compared().as_deref(), Some("new"));
    }
}
