//! librdkafka's log lines.

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
