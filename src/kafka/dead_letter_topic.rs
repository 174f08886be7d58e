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

/// What an operator should know about the dead letter topic, one sentence each. Fails when the brokers don't
/// answer or refuse.
pub fn dead_letter_topic_warnings(config: &Config) -> KafkaResult<Vec<String>> {
    let admin: AdminClient<DefaultClientContext> = settings::producer(config).create()?;
    let topic = config.kafka.dead_letter_topic.as_str();
    let Some(copies) = copies_of(&admin, topic)? else {
        return Ok(vec![format!(
            "the dead letter topic `{topic}` is missing: the first dead letter creates it, where the \
             brokers allow that, and with their default settings; a missing topic that they don't \
             create stops the worker then"
        )]);
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
    Ok(warnings(
        topic,
        copies,
        source.and_then(|source| number(source, "max.message.bytes")),
        number(dead_letters, "max.message.bytes"),
        value(dead_letters, "cleanup.policy"),
        value(dead_letters, "retention.ms"),
    ))
}

/// The smallest number of copies among the topic's partitions. `None` if there is no such topic.
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

fn warnings(
    topic: &str,
    copies: usize,
    source_bytes: Option<u64>,
    dead_letter_bytes: Option<u64>,
    cleanup_policy: &str,
    retention_ms: &str,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(source), Some(own)) = (source_bytes, dead_letter_bytes)
        && own < source.saturating_add(HEADERS_SIZE)
    {
        warnings.push(format!(
            "the dead letter topic `{topic}` takes records of up to {own} bytes, the source topic of up \
             to {source}: a large dead letter would be refused; raise its `max.message.bytes` to {} or \
             more",
            source.saturating_add(HEADERS_SIZE)
        ));
    }
    if cleanup_policy.contains("compact") {
        warnings.push(format!(
            "the dead letter topic `{topic}` is compacted: of dead letters with one key only the last \
             stays, and those without a key are refused; set its `cleanup.policy` to delete"
        ));
    }
    if cleanup_policy.contains("delete") && retention_ms != "-1" {
        warnings.push(format!(
            "the dead letter topic `{topic}` deletes what is older than {retention_ms} ms \
             (`retention.ms`): look at dead letters before that, or set it to -1"
        ));
    }
    if copies == 1 {
        warnings.push(format!(
            "the dead letter topic `{topic}` keeps a single copy: the loss of one broker loses dead \
             letters"
        ));
    }
    warnings
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
        let fit = warnings("d", 3, Some(1_000_000), Some(1_004_096), "delete", "-1");
        assert_eq!(fit, Vec::<String>::new());
    }

    #[test]
    fn each_danger_causes_a_warning_that_names_it() {
        let check = |copies, own, policy, retention, expected: &str| {
            let warnings = warnings("d", copies, Some(1_000_000), Some(own), policy, retention);
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
}
