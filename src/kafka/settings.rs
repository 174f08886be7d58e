//! librdkafka's settings: ours, then what the operator wrote over them. What would break the promise
//! was refused when the configuration was read.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::{Config, DeadLetterOversize};

/// What librdkafka prefetches where nothing else is configured, in KiB.
pub const PREFETCH_KIB: u64 = 4096;

/// How often librdkafka tells of its state, for the lag.
const STATISTICS_INTERVAL_MS: &str = "1000";

pub(super) fn consumer(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut settings = client(config);
    settings
        .set("group.id", &kafka.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where the group has no offset is decided when a partition is assigned; librdkafka resets
        // only a group that retention has overtaken, and such a one goes on from what is left.
        .set("auto.offset.reset", "earliest")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
        // A topic that is made later is noticed within seconds.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // Measured: a full prefetch queue makes librdkafka wait a second by default, and larger bounds
        // cost memory without being faster.
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", PREFETCH_KIB.to_string())
        // A flipped bit would be an altered message.
        .set("check.crcs", "true");
    let new_protocol = kafka
        .consumer_properties
        .get("group.protocol")
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
    if !new_protocol {
        // The new protocol refuses the client's own strategy.
        settings.set("partition.assignment.strategy", "cooperative-sticky");
    }
    apply(&mut settings, &kafka.consumer_properties);
    settings
}

/// For a reader outside of the worker's group: what makes a member of it is left out.
pub(super) fn reader(config: &Config, group: &str) -> ClientConfig {
    let mut settings = consumer(config);
    for name in [
        "group.protocol",
        "group.remote.assignor",
        "group.instance.id",
    ] {
        settings.remove(name);
    }
    settings
        .set("group.id", group)
        .set("enable.partition.eof", "true")
        .set("statistics.interval.ms", "0");
    settings
}

pub(super) fn producer(config: &Config) -> ClientConfig {
    let mut settings = client(config);
    settings
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // With more, a batch can overtake one that was refused, as a partition that is just being made
        // does; the broker then takes the retry for a duplicate, and it is lost.
        .set("max.in.flight.requests.per.connection", "1")
        .set("compression.type", "zstd")
        .set("linger.ms", "5")
        // The broker judges a batch as a whole: small ones keep one bad record's company small.
        .set("batch.size", "16384")
        // librdkafka's maximum: only the broker decides what is too large.
        .set("message.max.bytes", "1000000000")
        .set(
            "message.timeout.ms",
            message_timeout(config).as_millis().to_string(),
        );
    apply(&mut settings, &config.kafka.producer_properties);
    settings
}

/// The producer for dead letters that were refused in company: one record a batch.
pub(super) fn solo_producer(config: &Config) -> ClientConfig {
    let mut settings = producer(config);
    settings
        .set("batch.num.messages", "1")
        .set("linger.ms", "0");
    settings
}

/// How long a dead letter is tried: less than a stop may take, so that a stop hears of its fate.
fn message_timeout(config: &Config) -> Duration {
    let longest = config.consumer.shutdown_timeout * 4 / 5;
    longest.max(Duration::from_secs(1))
}

pub(super) fn omits_oversized_values(config: &Config) -> bool {
    config.kafka.dead_letter_oversize == DeadLetterOversize::OmitValue
}

fn client(config: &Config) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &config.kafka.bootstrap_servers)
        .set("client.id", env!("CARGO_PKG_NAME"))
        .set_log_level(RDKafkaLogLevel::Info);
    settings
}

fn apply(settings: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    for (name, value) in properties {
        settings.set(name, value);
    }
}
