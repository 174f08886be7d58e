//! From single values to the configuration: the rules between keys, and then the types of the program.

use std::fmt::Display;

use super::errors::{ConfigErrors, quoted};
use super::kind::acknowledgement_of_uri;
use super::model::{
    AutoOffsetReset, Config, Consumer, DeadLetterOversize, Kafka, LogFormat, Logging, Metrics,
    Mongodb, OnUnavailable, WriteConcern,
};
use super::names;
use super::properties;
use super::values::Values;

const W_PATH: &str = "mongodb.write_concern.w";
const JOURNAL_PATH: &str = "mongodb.write_concern.journal";

/// The configuration, or `None` where an error was noted, here or before. A rule between two keys is
/// left out where one of them is faulty already.
pub(super) fn assemble(values: &Values, errors: &mut ConfigErrors) -> Option<Config> {
    check_topics(values, errors);
    check_namespace(values, errors);
    check_bounds(values, errors);
    check_properties(values, errors);
    let write_concern = write_concern(values, errors);
    if !errors.is_empty() {
        return None;
    }
    Some(Config {
        kafka: kafka(values)?,
        mongodb: mongodb(values, write_concern?)?,
        consumer: consumer(values)?,
        logging: logging(values)?,
        metrics: metrics(values)?,
    })
}

fn kafka(values: &Values) -> Option<Kafka> {
    let base = values.properties("kafka.properties")?;
    let consumer = values.properties("kafka.consumer_properties")?;
    let producer = values.properties("kafka.producer_properties")?;
    let consumer_properties = properties::merged(&base, &consumer);
    Some(Kafka {
        bootstrap_servers: values.text("kafka.bootstrap_servers")?,
        topic: values.text("kafka.topic")?,
        group_id: values.text("kafka.group_id")?,
        dead_letter_topic: values.text("kafka.dead_letter_topic")?,
        auto_offset_reset: AutoOffsetReset::from_name(values.choice("kafka.auto_offset_reset")?)?,
        poll_timeout: values.millis("kafka.poll_timeout_ms")?,
        max_poll_interval: properties::max_poll_interval(&consumer_properties),
        consumer_properties,
        producer_properties: properties::merged(&base, &producer),
        dead_letter_oversize: DeadLetterOversize::from_name(
            values.choice("kafka.dead_letter_oversize")?,
        )?,
    })
}

fn mongodb(values: &Values, write_concern: WriteConcern) -> Option<Mongodb> {
    Some(Mongodb {
        uri: values.uri("mongodb.uri")?,
        database: values.text("mongodb.database")?,
        collection: values.text("mongodb.collection")?,
        on_unavailable: OnUnavailable::from_name(values.choice("mongodb.on_unavailable")?)?,
        reconnect_interval: values.millis("mongodb.reconnect_interval_ms")?,
        write_concern,
    })
}

fn consumer(values: &Values) -> Option<Consumer> {
    Some(Consumer {
        batch_size: values.integer("consumer.batch_size")?,
        batch_bytes: values.integer("consumer.batch_bytes")?,
        offset_commit_frequency: values.integer("consumer.offset_commit_frequency")?,
        offset_commit_interval: values.millis("consumer.offset_commit_interval_ms")?,
        max_retries: values.integer("consumer.max_retries")?,
        retry_backoff: values.millis("consumer.retry_backoff_ms")?,
        writer_threads: values.integer("consumer.writer_threads")?,
        max_in_flight_bytes: values.integer("consumer.max_in_flight_bytes")?,
        max_in_flight_messages: values.integer("consumer.max_in_flight_messages")?,
        max_consecutive_rejections: values.integer("consumer.max_consecutive_rejections")?,
        shutdown_timeout: values.millis("consumer.shutdown_timeout_ms")?,
    })
}

fn logging(values: &Values) -> Option<Logging> {
    let level = match values.choice("logging.level")? {
        "warning" => "warn",
        level => level,
    };
    Some(Logging {
        level: level.parse().ok()?,
        format: LogFormat::from_name(values.choice("logging.format")?)?,
    })
}

fn metrics(values: &Values) -> Option<Metrics> {
    Some(Metrics {
        enabled: values.boolean("metrics.enabled")?,
        host: values.ip_address("metrics.host")?,
        port: values.integer("metrics.port")?,
    })
}

fn check_topics(values: &Values, errors: &mut ConfigErrors) {
    let topic = values.text("kafka.topic");
    if topic.is_some() && topic == values.text("kafka.dead_letter_topic") {
        let fault = "the same as `kafka.topic`: dead letters would be read again, for ever; give it \
                     a topic of its own";
        errors.add("`kafka.dead_letter_topic`", fault);
    }
}

fn check_namespace(values: &Values, errors: &mut ConfigErrors) {
    let database = values.text("mongodb.database");
    let Some((database, collection)) = database.zip(values.text("mongodb.collection")) else {
        return;
    };
    let bytes = database.len() + 1 + collection.len();
    if bytes > names::NAMESPACE_BYTES {
        let fault = format!(
            "{bytes} bytes long together with `mongodb.database` and the dot between them, which \
             MongoDB limits to {}; use a shorter name",
            names::NAMESPACE_BYTES
        );
        errors.add("`mongodb.collection`", fault);
    }
}

/// A batch that may not be in flight would never go out.
fn check_bounds(values: &Values, errors: &mut ConfigErrors) {
    for (part, whole) in [
        ("consumer.batch_bytes", "consumer.max_in_flight_bytes"),
        ("consumer.batch_size", "consumer.max_in_flight_messages"),
    ] {
        let part_value = values.integer::<u32>(part);
        let Some((part_value, whole_value)) = part_value.zip(values.integer::<u32>(whole)) else {
            continue;
        };
        if part_value > whole_value {
            let fault = format!(
                "found `{part_value}`, more than `{whole}` with `{whole_value}`; lower the one or \
                 raise the other"
            );
            errors.add(format!("`{part}`"), fault);
        }
    }
}

fn check_properties(values: &Values, errors: &mut ConfigErrors) {
    let shutdown_timeout = values.millis("consumer.shutdown_timeout_ms");
    for path in [
        "kafka.properties",
        "kafka.consumer_properties",
        "kafka.producer_properties",
    ] {
        if let Some(given) = values.properties(path) {
            properties::judge(path, &given, shutdown_timeout, errors);
        }
    }
}

/// The file's write concern and the URI's, which may each say a part, but not different things.
fn write_concern(values: &Values, errors: &mut ConfigErrors) -> Option<WriteConcern> {
    let mut w = values.acknowledgement(W_PATH)?;
    let journal = values.boolean(JOURNAL_PATH)?;
    for (name, value) in values.uri("mongodb.uri")?.options() {
        match (name.as_str(), value.as_str()) {
            ("w", text) => match acknowledgement_of_uri(text) {
                Ok(of_uri) if of_uri == w => {}
                Ok(_) if values.is_given(W_PATH) => contradict(W_PATH, &w, "w", text, errors),
                Ok(of_uri) => w = of_uri,
                Err(fault) => errors.add("`mongodb.uri` `w`", fault),
            },
            ("journal" | "j", "true" | "false") => {
                if value == journal.to_string() {
                    continue;
                }
                if values.is_given(JOURNAL_PATH) {
                    contradict(JOURNAL_PATH, journal, &name, &value, errors);
                } else {
                    let fault = format!(
                        "found `false`, with which a crash of the server can lose acknowledged \
                         writes; remove it, or accept that by `{JOURNAL_PATH}` set to `false`"
                    );
                    errors.add(format!("`mongodb.uri` `{name}`"), fault);
                }
            }
            ("journal" | "j", text) => {
                let fault = format!("found {}, expected `true` or `false`", quoted(text));
                errors.add(format!("`mongodb.uri` `{name}`"), fault);
            }
            _ => {}
        }
    }
    Some(WriteConcern { w, journal })
}

fn contradict(
    path: &str,
    value: impl Display,
    option: &str,
    of_uri: &str,
    errors: &mut ConfigErrors,
) {
    let fault = format!(
        "found `{value}`, but `mongodb.uri` says `{option}` is {}; remove one of the two",
        quoted(of_uri)
    );
    errors.add(format!("`{path}`"), fault);
}
