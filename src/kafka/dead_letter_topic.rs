//! Checks once, at the start, whether the dead letter topic keeps the dead letters that it is given.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};

use super::errors::KafkaResult;
use super::settings;
use crate::config::Config;

/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes the headers of a dead letter may add to a record.
const HEADERS_SIZE: u64 = 4096;

/// What an operator should know about the dead letter topic, in one line. `None` if it is fit. Fails when the brokers
/// don't answer or refuse.
pub fn dead_letter_topic_warning(config: &Config) -> KafkaResult<Option<String>> {
    let mut settings = settings::producer(config);
    // It writes nothing, and an idempotent producer without the right to write answers no question.
    settings.set("enable.idempotence", "false");
    let admin: AdminClient<DefaultClientContext> = settings.create()?;
    let topic = config.kafka.dead_letter_topic.as_str();
    let Some(copies) = copies_of(&admin, topic)? else {
        return Ok(Some(format!(
            "the dead letter topic `{topic}` is missing, or this client may not see it. If it exists, grant \
             this client the right WRITE on topic `{topic}`. If not, the first dead letter creates it, where \
             the brokers allow that, and with their default settings. Otherwise the first dead letter stops \
             the worker"
        )));
    };
    let specifiers = [
        ResourceSpecifier::Topic(&config.kafka.topic),
        ResourceSpecifier::Topic(topic),
    ];
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let resources = pollster::block_on(admin.describe_configs(&specifiers, &options))?;
    let find = |name: &str| {
        let named = OwnedResourceSpecifier::Topic(name.to_owned());
        resources
            .iter()
            .flatten()
            .find(|resource| resource.specifier == named)
    };
    let Some(dead_letters) = find(topic) else {
        let refused = resources
            .iter()
            .find_map(|resource| resource.as_ref().err());
        return Err(
            ClientError::AdminOp(refused.copied().unwrap_or(RDKafkaErrorCode::Unknown)).into(),
        );
    };
    // A source topic that doesn't exist yet has no settings.
    let source = find(&config.kafka.topic);
    let points = weak_points(
        copies,
        source.and_then(|source| number(source, "max.message.bytes")),
        number(dead_letters, "max.message.bytes"),
        value(dead_letters, "cleanup.policy"),
        value(dead_letters, "retention.ms"),
    );
    Ok(warning(topic, &points))
}

fn warning(topic: &str, points: &[String]) -> Option<String> {
    let points = points.join("; ");
    (!points.is_empty())
        .then(|| format!("the dead letter topic `{topic}` may lose dead letters: {points}"))
}

/// The smallest number of copies among the topic's partitions. `None` if there is no such topic, or if this client has
/// no right to see it: Kafka leaves such a topic out.
fn copies_of(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
) -> ClientResult<Option<usize>> {
    // This asks for all topics: asking a producer's client for a single one would create it.
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.map(rdkafka::metadata::MetadataTopic::partitions);
    Ok(partitions.and_then(|partitions| partitions.iter().map(|p| p.replicas().len()).min()))
}

/// What may lose dead letters, a clause for each.
fn weak_points(
    copies: usize,
    source_bytes: Option<u64>,
    dead_letter_bytes: Option<u64>,
    cleanup_policy: &str,
    retention_ms: &str,
) -> Vec<String> {
    let mut points = Vec::new();
    if let (Some(source), Some(own)) = (source_bytes, dead_letter_bytes)
        && own < source.saturating_add(HEADERS_SIZE)
    {
        points.push(format!(
            "it takes records of up to {own} bytes, the source topic of up to {source}, so a large dead \
             letter would be refused: raise its `max.message.bytes` to {} or more",
            source.saturating_add(HEADERS_SIZE)
        ));
    }
    if cleanup_policy.contains("compact") {
        points.push(
            "it is compacted, so of dead letters with one key only the last stays, and those without a key \
             are refused: set its `cleanup.policy` to delete"
                .to_owned(),
        );
    }
    if cleanup_policy.contains("delete") && retention_ms != "-1" {
        points.push(format!(
            "it deletes what is older than {retention_ms} ms: look at dead letters before that, or set its \
             `retention.ms` to -1"
        ));
    }
    if copies == 1 {
        points
            .push("it has a single copy, so the loss of one broker loses dead letters".to_owned());
    }
    points
}

fn value<'a>(resource: &'a ConfigResource, name: &str) -> &'a str {
    let entry = resource.entries.iter().find(|entry| entry.name == name);
    entry
        .and_then(|entry| entry.value.as_deref())
        .unwrap_or_default()
}

fn number(resource: &ConfigResource, name: &str) -> Option<u64> {
    value(resource, name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_keeps_everything_causes_no_warning() {
        let fit = weak_points(3, Some(1_000_000), Some(1_004_096), "delete", "-1");
        assert_eq!(warning("d", &fit), None);
    }

    #[test]
    fn each_danger_causes_a_warning_that_names_it() {
        let check = |copies, own, policy, retention, expected: &str| {
            let warnings = weak_points(copies, Some(1_000_000), Some(own), policy, retention);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(expected), "{warnings:?}");
        };
        check(
            3,
            1_004_095,
            "delete",
            "-1",
            "raise its `max.message.bytes` to 1004096",
        );
        check(3, 2_000_000, "compact", "1000", "is compacted");
        check(3, 2_000_000, "delete", "1000", "older than 1000 ms");
        check(1, 2_000_000, "delete", "-1", "single copy");
    }

    #[test]
    fn a_topic_with_several_weak_points_causes_one_line() {
        let points = weak_points(1, Some(1_000_000), Some(1_000_000), "delete", "1000");
        let line = warning("d", &points).unwrap();
        for part in [
            "`d`",
            "`max.message.bytes`",
            "older than 1000 ms",
            "single copy",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
