//! librdkafka's settings: first the worker's own, then the operator's, which win. Settings that would break a
//! guarantee were refused when the configuration was read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::errors::KafkaError;
use super::iam;
use super::log::{GROUP_CONTEXT, RECREATION_CONTEXT};
use crate::config::{Config, ConfigErrors, DeadLetterOversize};

/// What librdkafka prefetches by default, in KiB.
const PREFETCH_KIB: u64 = 4096;
/// The property for it.
pub const PREFETCH_PROPERTY: &str = "queued.max.messages.kbytes";

/// How much one answer of a broker brings, unless one batch is larger. By default it is as much as is prefetched, and the client
/// keeps each answer until all of its messages are consumed.
const FETCH_BYTES: &str = "1048576";
/// An operator who sets one of these decides how much is fetched.
const FETCH_PROPERTIES: [&str; 4] = [
    PREFETCH_PROPERTY,
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
];

/// The two names of the property for how long a dead letter is tried.
const TIMEOUT_PROPERTIES: [&str; 2] = ["message.timeout.ms", "delivery.timeout.ms"];

/// How long one dead letter is tried while others are acknowledged: librdkafka's default.
const LONGEST_DELIVERY: Duration = Duration::from_secs(300);

/// How often librdkafka reports its statistics, which the lag comes from.
const STATISTICS_INTERVAL_MS: &str = "1000";

/// The most bytes that librdkafka prefetches under this configuration.
pub fn prefetch_bytes(config: &Config) -> u64 {
    let configured = config.kafka.consumer_properties.get(PREFETCH_PROPERTY);
    configured
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(PREFETCH_KIB)
        .saturating_mul(1024)
}

pub(super) fn consumer(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut settings = client(config);
    settings
        .set("group.id", &kafka.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The worker decides where to begin when a partition is assigned. librdkafka resets an offset only
        // where retention has deleted it, and then continues at the earliest one.
        .set("auto.offset.reset", "earliest")
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
        // A topic that is created later is noticed within seconds.
        .set("topic.metadata.refresh.interval.ms", "5000")
        // Measured: by default librdkafka waits for a second when its prefetch queue is full, and larger
        // limits cost memory without being faster.
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.min.messages", "5000")
        .set(PREFETCH_PROPERTY, PREFETCH_KIB.to_string())
        // A bit error that nobody detects would alter a message.
        .set("check.crcs", "true");
    let is_new_protocol = uses_new_group_protocol(config);
    if !is_new_protocol {
        // The new protocol refuses the client's own strategy.
        settings.set("partition.assignment.strategy", "cooperative-sticky");
    }
    let properties = &kafka.consumer_properties;
    if !FETCH_PROPERTIES
        .iter()
        .any(|name| properties.contains_key(*name))
    {
        settings.set("fetch.max.bytes", FETCH_BYTES);
    }
    apply(&mut settings, properties, PRODUCER_ONLY);
    // librdkafka goes on at the old offset in a topic that was deleted and recreated, and reports that in no other way.
    log_context(&mut settings, RECREATION_CONTEXT);
    if is_new_protocol {
        log_context(&mut settings, GROUP_CONTEXT);
    }
    settings
}

/// Turns on the debug lines of a context, beside those that the operator wants.
fn log_context(settings: &mut ClientConfig, context: &str) {
    let contexts = match settings.get("debug") {
        Some(configured) if !configured.is_empty() => format!("{configured},{context}"),
        _ => context.to_owned(),
    };
    settings
        .set("debug", contexts)
        .set_log_level(RDKafkaLogLevel::Debug);
}

/// The properties that librdkafka refuses. It reports only the first one when a client is made.
pub fn property_errors(config: &Config) -> ConfigErrors {
    let kafka = &config.kafka;
    let properties: BTreeSet<(&String, &String)> = kafka
        .consumer_properties
        .iter()
        .chain(&kafka.producer_properties)
        .collect();
    let mut errors = ConfigErrors::default();
    for (name, value) in properties {
        let place = || format!("Kafka property `{name}`");
        if let Err(error) = ClientConfig::new().set(name, value).create_native_config() {
            errors.add(place(), KafkaError::from(error));
        }
        if iam::is_chosen_by(name, value) && !cfg!(feature = "aws") {
            errors.add(
                place(),
                format!(
                    "this build has no logins by AWS credentials, which `{value}` is for: build it with the feature `aws`"
                ),
            );
        }
    }
    errors
}

/// Whether the consumer joins the group by the protocol of KIP-848.
pub(super) fn uses_new_group_protocol(config: &Config) -> bool {
    let protocol = config.kafka.consumer_properties.get("group.protocol");
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
}

/// For a reader outside of the worker's group: without the properties of a group member.
pub(super) fn reader(config: &Config, group: &str) -> ClientConfig {
    let mut settings = consumer(config);
    for name in [
        "group.protocol",
        "group.remote.assignor",
        "group.instance.id",
        // A follower may lack records that the leader has.
        "client.rack",
    ] {
        settings.remove(name);
    }
    settings
        .set_log_level(RDKafkaLogLevel::Info)
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
        // With more requests in flight, a batch can overtake one that was refused, for example by a partition
        // that is just being created. The broker then takes the retry for a duplicate, and it is lost.
        .set("max.in.flight.requests.per.connection", "1")
        .set("compression.type", "zstd")
        .set("linger.ms", "5")
        // The broker judges a batch as a whole: in a small batch, one bad record spoils few others, but each request
        // costs CPU time. Behind a quota, the answer to a large one takes longer than a short `message.timeout.ms`.
        .set("batch.size", "32768")
        // librdkafka's maximum: the broker alone decides what is too large.
        .set("message.max.bytes", "1000000000");
    apply(
        &mut settings,
        &config.kafka.producer_properties,
        CONSUMER_ONLY,
    );
    // librdkafka counts from the moment when it gets a letter: those that wait behind others would fail while
    // the others are acknowledged. So a shorter time counts from the last acknowledgement, and this one is for a
    // partition that takes nothing while others do.
    for name in TIMEOUT_PROPERTIES {
        settings.remove(name);
    }
    settings.set(
        "message.timeout.ms",
        LONGEST_DELIVERY.as_millis().to_string(),
    );
    settings
}

/// The producer for dead letters that were refused together with others: one record per batch.
pub(super) fn solo_producer(config: &Config) -> ClientConfig {
    let mut settings = producer(config);
    settings
        .set("batch.num.messages", "1")
        .set("linger.ms", "0");
    settings
}

/// How long no dead letter may be acknowledged while some are under way. It is less than a stop may take, so that
/// the result is known before a stop ends.
pub(super) fn acknowledgement_timeout(config: &Config) -> Duration {
    let properties = &config.kafka.producer_properties;
    let configured = TIMEOUT_PROPERTIES
        .iter()
        .find_map(|name| properties.get(*name)?.parse().ok());
    let default = config.consumer.shutdown_timeout * 4 / 5;
    configured.map_or(default.max(Duration::from_secs(1)), Duration::from_millis)
}

/// How many letters the producer's own queue holds at most. `None` for librdkafka's default, which is far more than
/// are ever under way.
pub(super) fn most_queued_letters(config: &Config) -> Option<usize> {
    let properties = &config.kafka.producer_properties;
    let limit: usize = properties
        .get("queue.buffering.max.messages")?
        .parse()
        .ok()?;
    // 0 is no limit.
    (limit > 0).then_some(limit)
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

/// `kafka.properties` are for all clients, and each client gets those that it knows: librdkafka warns at every
/// start about properties of the other kind.
fn apply(
    settings: &mut ClientConfig,
    properties: &BTreeMap<String, String>,
    of_the_other_kind: &[&str],
) {
    for (name, value) in properties {
        if !of_the_other_kind.contains(&name.as_str()) {
            settings.set(name, value);
        }
    }
    iam::translate(settings);
}

/// The properties that librdkafka 2.12 knows for consumers alone, from its CONFIGURATION.md. Those that the
/// configuration refuses are left out.
const CONSUMER_ONLY: &[&str] = &[
    "check.crcs",
    "coordinator.query.interval.ms",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// The same for producers.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn with_properties(properties: &str) -> Config {
        let variables = [
            ("CONSUMER__KAFKA__BOOTSTRAP_SERVERS", "nowhere:9092"),
            ("CONSUMER__MONGODB__URI", "mongodb://nowhere"),
        ];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(r#"{{"kafka": {{"properties": {properties}}}}}"#);
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Config::load(file.path(), variables).unwrap()
    }

    #[test]
    fn an_operator_decides_how_much_is_fetched() {
        let fetched = |properties| {
            let settings = consumer(&with_properties(properties));
            settings.get("fetch.max.bytes").map(str::to_owned)
        };
        assert_eq!(fetched("{}").as_deref(), Some(FETCH_BYTES));
        assert_eq!(
            fetched(r#"{"fetch.max.bytes": 5000000}"#).as_deref(),
            Some("5000000")
        );
        assert_eq!(fetched(r#"{"queued.max.messages.kbytes": 65536}"#), None);
    }

    #[test]
    fn a_reader_reads_from_the_leader() {
        let config = with_properties(r#"{"client.rack": "a"}"#);
        assert_eq!(consumer(&config).get("client.rack"), Some("a"));
        assert_eq!(reader(&config, "group").get("client.rack"), None);
    }

    #[test]
    fn each_client_gets_its_own_properties_and_the_shared_ones() {
        let names = ["group.instance.id", "linger.ms", "ssl.ca.location"];
        let properties = names.map(|name| (name.to_owned(), "1".to_owned())).into();
        let given = |of_the_other_kind| {
            let mut settings = ClientConfig::new();
            apply(&mut settings, &properties, of_the_other_kind);
            names.map(|name| settings.get(name).is_some())
        };
        assert_eq!(given(PRODUCER_ONLY), [true, false, true]);
        assert_eq!(given(CONSUMER_ONLY), [false, true, true]);
    }
}
