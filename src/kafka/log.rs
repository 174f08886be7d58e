//! librdkafka's log lines. All of them are forwarded to the worker's log. A few are also read, because librdkafka
//! reports some events in no other way.

use std::sync::atomic::{AtomicU8, Ordering};

use rdkafka::config::RDKafkaLogLevel;

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

/// What librdkafka's log said about the consumed topic since the last [`LogSigns::take`]. librdkafka's threads write
/// it, the poller takes it.
#[derive(Debug, Default)]
pub(super) struct LogSigns(AtomicU8);

/// The events that the log has reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicSigns {
    /// An offset was out of its log's range, and librdkafka went on at the earliest one.
    pub was_offset_reset: bool,
    /// The topic was deleted and recreated: what is read from now on is another log.
    pub was_recreated: bool,
}

const OFFSET_RESET: u8 = 1;
const RECREATED: u8 = 2;

impl LogSigns {
    pub(super) fn read(&self, facility: &str, message: &str, topic: &str) {
        if facility == "OFFSET" && message.contains("offset reset") {
            self.0.fetch_or(OFFSET_RESET, Ordering::Release);
        }
        if facility == "METADATA" && says_recreated(message, topic) {
            self.0.fetch_or(RECREATED, Ordering::Release);
        }
    }

    /// Whether the topic was recreated. Leaves the sign for [`LogSigns::take`].
    pub(super) fn has_recreation(&self) -> bool {
        self.0.load(Ordering::Acquire) & RECREATED != 0
    }

    pub(super) fn take(&self) -> TopicSigns {
        // A swap costs more than a load, and this is asked for every message.
        if self.0.load(Ordering::Acquire) == 0 {
            return TopicSigns::default();
        }
        let signs = self.0.swap(0, Ordering::AcqRel);
        TopicSigns {
            was_offset_reset: signs & OFFSET_RESET != 0,
            was_recreated: signs & RECREATED != 0,
        }
    }
}

/// Whether a line says that the topic's id has changed. librdkafka logs it before it reads by the new id. A change from
/// the id zero doesn't count: the topic had no id before, because librdkafka hadn't asked for it or the brokers were
/// too old for topic ids.
fn says_recreated(message: &str, topic: &str) -> bool {
    let Some((_, change)) = message.split_once(&format!("Topic {topic} changed id from ")) else {
        return false;
    };
    let Some((before, after)) = change.split_once(" to ") else {
        return false;
    };
    let is_zero = |id: &str| id.trim().chars().all(|c| c == 'A' || c == '=');
    !is_zero(before) && !is_zero(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_another_id_was_recreated() {
        let signs = LogSigns::default();
        let zero = "AAAAAAAAAAAAAAAAAAAAAA";
        let first =
            format!("[thrd:main]: Topic t changed id from {zero} to 8ziVJlOoT8aUjBBKNu8bvA");
        signs.read("METADATA", &first, "t");
        assert_eq!(signs.take(), TopicSigns::default(), "it had no id before");
        let other =
            "[thrd:main]: Topic t changed id from 8ziVJlOoT8aUjBBKNu8bvA to hBWUlkCOQk6Iqjvk5dFjOg";
        signs.read("METADATA", other, "s");
        assert_eq!(signs.take(), TopicSigns::default(), "another topic");
        signs.read("METADATA", other, "t");
        let recreated = TopicSigns {
            was_recreated: true,
            was_offset_reset: false,
        };
        assert_eq!(signs.take(), recreated);
        assert_eq!(signs.take(), TopicSigns::default(), "it is said once");
    }
}
