//! Whether the dead letter topic keeps the dead letters that it is given: for the worker's start, and for `check`.

use std::str::FromStr;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};

use super::errors::KafkaResult;
use super::reader::TopicReader;
use super::reader_error::ReadError;
use super::topic::Topic;
use super::{iam, settings};
use crate::config::Config;
use crate::core::partition::TopicId;

/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes the headers of a dead letter may add to a record.
const HEADERS_SIZE: u64 = 4096;

/// What an operator should know about the dead letter topic, in one line. `None` if it is fit. Fails when the brokers
/// don't answer or refuse.
pub fn dead_letter_topic_warning(config: &Config) -> Result<Option<String>, ReadError> {
    let name = config.kafka.dead_letter_topic.as_str();
    if hides_topic_settings(config) {
        let exists = dead_letter_topic_exists(config)?;
        return Ok((!exists).then(|| missing_topic(name)));
    }
    Ok(
        match DeadLetterTopic::find(config).map_err(ReadError::Kafka)? {
            Some(topic) => topic.warning(name),
            None => Some(missing_topic(name)),
        },
    )
}

/// Whether this client's login leaves no way to ask for a topic's settings: rdkafka's administrative client never serves the
/// event by which a client asks for a token of [`iam`].
pub fn hides_topic_settings(config: &Config) -> bool {
    iam::is_used(&settings::producer(config))
}

/// Whether this client sees the topic. A question that any client can ask.
pub fn dead_letter_topic_exists(config: &Config) -> Result<bool, ReadError> {
    let topic = Topic::new(TopicId::DEAD_LETTERS, &config.kafka.dead_letter_topic);
    let reader = TopicReader::new(config, topic, &config.kafka.group_id)?;
    Ok(reader.partition_states()?.is_some())
}

/// What it means that the dead letter topic was not found.
pub fn missing_topic(name: &str) -> String {
    format!(
        "the dead letter topic `{name}` is missing, or this client may not see it. If it exists, grant \
         this client the right WRITE on topic `{name}`. If not, the first dead letter creates it, where \
         the brokers allow that, and with their default settings. Otherwise the first dead letter stops \
         the worker"
    )
}

/// What decides whether the dead letter topic keeps what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterTopic {
    /// The smallest number of copies among its partitions.
    copies: usize,
    min_insync_replicas: Option<usize>,
    max_message_bytes: Option<u64>,
    /// The limit of the source topic. `None` if there is no such topic yet.
    source_bytes: Option<u64>,
    cleanup_policy: String,
    retention_ms: String,
}

/// A side of the dead letter topic that an operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    Size,
    CleanupPolicy,
    Retention,
    Copies,
}

impl Aspect {
    pub const ALL: [Self; 4] = [
        Self::Size,
        Self::CleanupPolicy,
        Self::Retention,
        Self::Copies,
    ];
}

impl DeadLetterTopic {
    /// Asks the brokers. `None` if there is no such topic, or if this client has no right to see it. Fails when the
    /// brokers don't answer or refuse.
    pub fn find(config: &Config) -> KafkaResult<Option<Self>> {
        let mut settings = settings::producer(config);
        // It writes nothing, and an idempotent producer without the right to write answers no question.
        settings.set("enable.idempotence", "false");
        let admin: AdminClient<DefaultClientContext> = settings.create()?;
        let topic = config.kafka.dead_letter_topic.as_str();
        let Some(copies) = copies_of(&admin, topic)? else {
            return Ok(None);
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
        // rdkafka drops the error of a topic's answer. Every topic has settings, so an answer without any is a refusal.
        let dead_letters = find(topic).filter(|found| !found.entries.is_empty());
        let Some(dead_letters) = dead_letters else {
            return Err(ClientError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed).into());
        };
        // A source topic that doesn't exist yet has no settings.
        let source = find(&config.kafka.topic);
        Ok(Some(Self {
            copies,
            min_insync_replicas: number(dead_letters, "min.insync.replicas"),
            max_message_bytes: number(dead_letters, "max.message.bytes"),
            source_bytes: source.and_then(|source| number(source, "max.message.bytes")),
            cleanup_policy: value(dead_letters, "cleanup.policy").to_owned(),
            retention_ms: value(dead_letters, "retention.ms").to_owned(),
        }))
    }

    /// What may lose dead letters on this side, and what to do. `None` if nothing may.
    pub fn weak_point(&self, aspect: Aspect) -> Option<String> {
        match aspect {
            Aspect::Size => {
                let (source, own) = (self.source_bytes?, self.max_message_bytes?);
                let needed = source.saturating_add(HEADERS_SIZE);
                (own < needed).then(|| {
                    format!(
                        "it takes records of up to {own} bytes, the source topic of up to {source}, so a large dead \
                         letter would be refused: raise its `max.message.bytes` to {needed} or more"
                    )
                })
            }
            Aspect::CleanupPolicy => self.cleanup_policy.contains("compact").then(|| {
                "it is compacted, so of dead letters with one key only the last stays, and those without a key \
                 are refused: set its `cleanup.policy` to delete"
                    .to_owned()
            }),
            Aspect::Retention => {
                let deletes = self.cleanup_policy.contains("delete") && self.retention_ms != "-1";
                deletes.then(|| {
                    format!(
                        "it deletes what is older than {} ms: look at dead letters before that, or set its \
                         `retention.ms` to -1",
                        self.retention_ms
                    )
                })
            }
            Aspect::Copies => match (self.copies, self.min_insync_replicas) {
                (1, _) => Some(
                    "it has a single copy, so the loss of one broker loses dead letters".to_owned(),
                ),
                (copies, Some(needed)) if needed >= copies => Some(format!(
                    "it has {copies} copies and `min.insync.replicas` {needed}, so the loss of one broker stops dead \
                     letters: lower its `min.insync.replicas`, or give it more copies"
                )),
                _ => None,
            },
        }
    }

    /// The setting of this side, as it is.
    pub fn setting(&self, aspect: Aspect) -> String {
        match aspect {
            Aspect::Size => match self.max_message_bytes {
                Some(bytes) => format!("`max.message.bytes` is {bytes}"),
                None => "`max.message.bytes` is not known".to_owned(),
            },
            Aspect::CleanupPolicy => format!("`cleanup.policy` is {}", self.cleanup_policy),
            Aspect::Retention => format!("`retention.ms` is {}", self.retention_ms),
            Aspect::Copies => match self.min_insync_replicas {
                Some(needed) => format!(
                    "replicas: {}, `min.insync.replicas` is {needed}",
                    self.copies
                ),
                None => format!("replicas: {}", self.copies),
            },
        }
    }

    fn warning(&self, name: &str) -> Option<String> {
        let points: Vec<String> = Aspect::ALL
            .into_iter()
            .filter_map(|aspect| self.weak_point(aspect))
            .collect();
        (!points.is_empty()).then(|| {
            let points = points.join("; ");
            format!("the dead letter topic `{name}` may lose dead letters: {points}")
        })
    }
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

fn value<'a>(resource: &'a ConfigResource, name: &str) -> &'a str {
    let entry = resource.entries.iter().find(|entry| entry.name == name);
    entry
        .and_then(|entry| entry.value.as_deref())
        .unwrap_or_default()
}

fn number<N: FromStr>(resource: &ConfigResource, name: &str) -> Option<N> {
    value(resource, name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(copies: usize, bytes: u64, policy: &str, retention: &str) -> DeadLetterTopic {
        DeadLetterTopic {
            copies,
            min_insync_replicas: Some(2),
            max_message_bytes: Some(bytes),
            source_bytes: Some(1_000_000),
            cleanup_policy: policy.to_owned(),
            retention_ms: retention.to_owned(),
        }
    }

    #[test]
    fn a_topic_that_keeps_everything_causes_no_warning() {
        let fit = topic(3, 1_004_096, "delete", "-1");
        assert_eq!(fit.warning("d"), None);
    }

    #[test]
    fn each_danger_causes_a_warning_that_names_it() {
        for (topic, aspect, expected) in [
            (
                topic(3, 1_004_095, "delete", "-1"),
                Aspect::Size,
                "raise its `max.message.bytes` to 1004096",
            ),
            (
                topic(3, 2_000_000, "compact", "1000"),
                Aspect::CleanupPolicy,
                "is compacted",
            ),
            (
                topic(3, 2_000_000, "delete", "1000"),
                Aspect::Retention,
                "older than 1000 ms",
            ),
            (
                topic(1, 2_000_000, "delete", "-1"),
                Aspect::Copies,
                "single copy",
            ),
            (
                topic(2, 2_000_000, "delete", "-1"),
                Aspect::Copies,
                "`min.insync.replicas`",
            ),
        ] {
            let weak: Vec<Aspect> = Aspect::ALL
                .into_iter()
                .filter(|aspect| topic.weak_point(*aspect).is_some())
                .collect();
            assert_eq!(weak, [aspect], "{topic:?}");
            let point = topic.weak_point(aspect).unwrap();
            assert!(point.contains(expected), "{point}");
        }
    }

    #[test]
    fn a_topic_with_several_weak_points_causes_one_line() {
        let line = topic(1, 1_000_000, "delete", "1000").warning("d").unwrap();
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
