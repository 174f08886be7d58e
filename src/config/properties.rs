//! librdkafka properties: which ones the operator may not set, and why.
//!
//! librdkafka itself reports an unknown property, when a client is created.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::errors::{ConfigErrors, quoted};
use super::masking::masked;

pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "patternProperties": {
            "^[a-zA-Z0-9._-]+$": {
                "type": ["string", "integer", "boolean"],
                "pattern": r"^[^\x00]*$",
            },
        },
        "additionalProperties": false,
        "writeOnly": true,
        "errorMessage": "expected an object of librdkafka properties",
    })
}

/// Masked, because people read the result.
pub(super) fn serialize<S: Serializer>(
    properties: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    masked(properties).serialize(serializer)
}

/// Converts the values to texts, because librdkafka takes only texts.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let properties = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let as_text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(properties
        .into_iter()
        .map(|(name, value)| (name, as_text(value)))
        .collect())
}

/// A restriction of one property.
enum Rule {
    /// Not allowed, because a key of the configuration replaces it; the advice.
    UseInstead(&'static str),
    /// Only these spellings of one value; the reason.
    Only(&'static [&'static str], &'static str),
    /// Not allowed with any value; the reason.
    Never(&'static str),
    /// A whole number of at least this; the reason.
    AtLeast(u64, &'static str),
    /// Milliseconds, and fewer than `consumer.shutdown_timeout_ms`.
    WithinShutdown,
}

/// librdkafka's spellings, whatever their case.
const TRUE: &[&str] = &["true", "t", "1"];
const FALSE: &[&str] = &["false", "f", "0"];
const ALL: &[&str] = &["all", "-1"];

const COMMITS: &str = "offsets are committed when their messages are stored; set how often by \
     `consumer.offset_commit_frequency` and `consumer.offset_commit_interval_ms`";
const ACKS: &str = "a dead letter counts as kept only when all in-sync replicas have it";
const IN_FLIGHT: &str =
    "with more, the retry of a refused dead letter can be taken for a duplicate, and lost";
const RETRIES: &str = "a dead letter must be sent again after a temporary fault of the broker";

#[rustfmt::skip] // A table.
const RULES: &[(&str, Rule)] = &[
    ("bootstrap.servers", Rule::UseInstead("use `kafka.bootstrap_servers`")),
    ("metadata.broker.list", Rule::UseInstead("use `kafka.bootstrap_servers`")),
    ("group.id", Rule::UseInstead("use `kafka.group_id`")),
    ("auto.offset.reset", Rule::UseInstead("use `kafka.auto_offset_reset`")),
    ("enable.auto.commit", Rule::UseInstead(COMMITS)),
    ("auto.commit.enable", Rule::UseInstead(COMMITS)),
    ("auto.commit.interval.ms", Rule::UseInstead(COMMITS)),
    ("enable.auto.offset.store", Rule::UseInstead(COMMITS)),
    ("offset.store.method", Rule::Only(&["broker"], "other instances must find the offsets that this one committed")),

    ("isolation.level", Rule::Only(&["read_committed"], "the sender has withdrawn the messages of an aborted transaction, so they must not be stored")),
    ("check.crcs", Rule::Only(TRUE, "without it a message damaged on the way would be stored as it came")),
    ("enable.partition.eof", Rule::Only(FALSE, "the worker doesn't use this event, and would treat it as an error of Kafka")),
    ("allow.auto.create.topics", Rule::Only(FALSE, "a mistyped topic would be created, and the worker would wait for its messages for ever")),
    ("max.poll.interval.ms", Rule::AtLeast(10_000, "a rebalance may take half of it to settle and commit the messages in flight, and less than 5 s is too short for that")),
    ("receive.message.max.bytes", Rule::AtLeast(100_000_000, "a batch of the topic comes whole, and one above it would never be read")),
    ("statistics.interval.ms", Rule::AtLeast(1, "the worker gets the lag from the statistics")),
    ("plugin.library.paths", Rule::Never("a plugin can change or drop messages unseen; use a gateway outside of the process")),
    ("test.mock.num.brokers", Rule::Never("it replaces Kafka by a simulation that ends with the process; use `kafka.bootstrap_servers`")),

    ("acks", Rule::Only(ALL, ACKS)),
    ("request.required.acks", Rule::Only(ALL, ACKS)),
    ("enable.idempotence", Rule::Only(TRUE, "a retry could write a dead letter twice")),
    ("max.in.flight.requests.per.connection", Rule::Only(&["1"], IN_FLIGHT)),
    ("max.in.flight", Rule::Only(&["1"], IN_FLIGHT)),
    ("delivery.report.only.error", Rule::Only(FALSE, "a message is done only when its dead letter is reported as delivered")),
    ("message.timeout.ms", Rule::WithinShutdown),
    ("delivery.timeout.ms", Rule::WithinShutdown),
    ("retries", Rule::AtLeast(1, RETRIES)),
    ("message.send.max.retries", Rule::AtLeast(1, RETRIES)),
    ("message.max.bytes", Rule::Never("a dead letter above it would stop the worker at the same message again and again; the broker's own limit applies: set `max.message.bytes` of the dead letter topic")),
    ("queue.buffering.max.kbytes", Rule::AtLeast(131_072, "a dead letter larger than the producer's queue would wait for ever")),
    ("transactional.id", Rule::Never("dead letters are not sent in transactions, and none would ever become visible; leave it out")),
];

/// The longest interval that librdkafka takes, in milliseconds, is a day.
const LONGEST_POLL_INTERVAL_MS: u64 = 86_400_000;

/// librdkafka's own default.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(300);

/// Refuses each property of one object that the worker sets itself, or that would break a guarantee. Without a valid
/// `shutdown_timeout`, timeouts aren't checked.
pub(super) fn judge(
    path: &str,
    properties: &BTreeMap<String, String>,
    shutdown_timeout: Option<Duration>,
    errors: &mut ConfigErrors,
) {
    for (name, value) in properties {
        let Some((_, rule)) = RULES.iter().find(|(ruled, _)| ruled == name) else {
            continue;
        };
        if let Err(fault) = rule.judge(value, shutdown_timeout) {
            errors.add(format!("`{path}` `{name}`"), fault);
        }
    }
}

impl Rule {
    fn judge(&self, value: &str, shutdown_timeout: Option<Duration>) -> Result<(), String> {
        let fault = match self {
            Self::UseInstead(instead) => format!("not a property to set here: {instead}"),
            Self::Never(why) => format!("not allowed: {why}"),
            Self::Only(allowed, why) => {
                if allowed.iter().any(|one| one.eq_ignore_ascii_case(value)) {
                    return Ok(());
                }
                format!("found {}, expected `{}`: {why}", quoted(value), allowed[0])
            }
            Self::AtLeast(least, why) => {
                if number(value).is_some_and(|value| value >= *least) {
                    return Ok(());
                }
                let found = quoted(value);
                format!("found {found}, expected a whole number from {least} on: {why}")
            }
            Self::WithinShutdown => {
                let Some(limit) = shutdown_timeout else {
                    return Ok(());
                };
                if number(value)
                    .is_some_and(|value| value > 0 && Duration::from_millis(value) < limit)
                {
                    return Ok(());
                }
                format!(
                    "found {}, expected a whole number from 1 to below `{}`, which is \
                     `consumer.shutdown_timeout_ms`: a stop waits for the delivery report of \
                     every dead letter",
                    quoted(value),
                    limit.as_millis()
                )
            }
        };
        Err(fault)
    }
}

/// A number in decimal digits. librdkafka accepts other notations too, such as hexadecimal; these are refused.
fn number(value: &str) -> Option<u64> {
    value
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| value.parse().ok())
        .flatten()
}

/// `base`, and `over` on top of it.
pub(super) fn merged(
    base: &BTreeMap<String, String>,
    over: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut merged = base.clone();
    merged.extend(over.clone());
    merged
}

/// `max.poll.interval.ms` of a consumer with these properties, which have been judged.
pub(super) fn max_poll_interval(properties: &BTreeMap<String, String>) -> Duration {
    properties
        .get("max.poll.interval.ms")
        .and_then(|value| number(value))
        .map_or(DEFAULT_POLL_INTERVAL, |value| {
            Duration::from_millis(value.min(LONGEST_POLL_INTERVAL_MS))
        })
}

/// Whether the properties switch off the check of the broker's certificate, or of the host name in it.
pub(super) fn trusts_any_broker(properties: &BTreeMap<String, String>) -> bool {
    let has = |name: &str, values: &[&str]| {
        properties
            .get(name)
            .is_some_and(|value| values.iter().any(|one| one.eq_ignore_ascii_case(value)))
    };
    has("enable.ssl.certificate.verification", FALSE)
        || has("ssl.endpoint.identification.algorithm", &["none"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str, value: &str) -> Option<String> {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let mut errors = ConfigErrors::default();
        let limit = Some(Duration::from_secs(25));
        judge("kafka.properties", &properties, limit, &mut errors);
        errors.lines().next().map(str::to_owned)
    }

    #[test]
    fn properties_that_keep_the_guarantees_are_accepted() {
        for (name, value) in [
            ("acks", "ALL"),
            ("acks", "-1"),
            ("request.required.acks", "all"),
            ("enable.idempotence", "True"),
            ("enable.idempotence", "1"),
            ("delivery.report.only.error", "false"),
            ("enable.partition.eof", "0"),
            ("check.crcs", "t"),
            ("isolation.level", "read_committed"),
            ("allow.auto.create.topics", "f"),
            ("offset.store.method", "broker"),
            ("max.poll.interval.ms", "10000"),
            ("statistics.interval.ms", "1"),
            ("message.timeout.ms", "24999"),
            ("delivery.timeout.ms", "1"),
            ("retries", "1"),
            ("message.send.max.retries", "10"),
            ("group.protocol", "consumer"),
            ("sasl.password", "0"),
            ("no.such.property", "x"),
        ] {
            assert_eq!(fault(name, value), None, "{name} = {value}");
        }
    }

    #[test]
    fn properties_that_break_a_guarantee_are_refused() {
        for (name, value) in [
            ("acks", "1"),
            ("acks", "0"),
            ("acks", " all"),
            ("request.required.acks", "1"),
            ("enable.idempotence", "false"),
            ("max.in.flight", "5"),
            ("max.in.flight.requests.per.connection", "2"),
            ("delivery.report.only.error", "T"),
            ("enable.partition.eof", "true"),
            ("check.crcs", "0"),
            ("isolation.level", "read_uncommitted"),
            ("allow.auto.create.topics", "1"),
            ("offset.store.method", "none"),
            ("max.poll.interval.ms", "9999"),
            ("max.poll.interval.ms", "0x2710"),
            ("statistics.interval.ms", "0"),
            ("receive.message.max.bytes", "99999999"),
            ("message.timeout.ms", "25000"),
            ("message.timeout.ms", "0"),
            ("delivery.timeout.ms", "x"),
            ("retries", "0"),
            ("message.send.max.retries", ""),
            ("plugin.library.paths", "x"),
            ("transactional.id", "x"),
            ("test.mock.num.brokers", "3"),
            ("bootstrap.servers", "x"),
            ("metadata.broker.list", "x"),
            ("group.id", "x"),
            ("auto.offset.reset", "x"),
            ("enable.auto.commit", "false"),
            ("auto.commit.enable", "false"),
            ("auto.commit.interval.ms", "1"),
            ("enable.auto.offset.store", "false"),
        ] {
            assert!(fault(name, value).is_some(), "{name} = {value}");
        }
    }

    #[test]
    fn an_error_has_the_value_found_and_the_reason() {
        assert_eq!(
            fault("acks", "1").unwrap(),
            "`kafka.properties` `acks`: found `1`, expected `all`: a dead letter counts as kept only \
             when all in-sync replicas have it"
        );
        assert_eq!(
            fault("group.id", "x").unwrap(),
            "`kafka.properties` `group.id`: not a property to set here: use `kafka.group_id`"
        );
    }
}
