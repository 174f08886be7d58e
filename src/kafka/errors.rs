//! Kafka's errors, and what they mean to the worker.

use std::fmt;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaConfRes;

use super::iam;
use crate::config::is_harmless;

pub type KafkaResult<T> = Result<T, KafkaError>;

/// An error of a broker or of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaError(ClientError);

impl KafkaError {
    /// Whether an operator has to grant a right.
    pub fn is_authorization(&self) -> bool {
        is_authorization(&self.0)
    }

    /// Whether the brokers don't offer the group protocol that the consumer wants.
    pub fn is_about_the_group_protocol(&self) -> bool {
        matches!(
            self.0,
            ClientError::MessageConsumptionFatal(
                Code::UnsupportedFeature | Code::UnsupportedVersion
            )
        )
    }
}

impl From<ClientError> for KafkaError {
    fn from(error: ClientError) -> Self {
        Self(error)
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ClientError::ClientConfig(result, text, name, _) = &self.0 {
            return write_refused_property(f, *result, text, name);
        }
        f.write_str(without_secrets(&self.0.to_string()))?;
        // The only question to the brokers that is an administrator's.
        if let ClientError::AdminOp(Code::TopicAuthorizationFailed) = self.0 {
            return f.write_str("; grant this client `DescribeConfigs` on the topic");
        }
        if self.is_about_the_group_protocol() {
            return f.write_str(
                "; the brokers don't offer `group.protocol` `consumer`, which needs Kafka 4.0 or newer: remove the \
                 property, or set it to `classic`",
            );
        }
        match self.0.rdkafka_error_code() {
            Some(Code::InvalidSessionTimeout) => f.write_str(
                "; set `session.timeout.ms` to a value between `group.min.session.timeout.ms` and \
                 `group.max.session.timeout.ms` of the broker",
            ),
            Some(Code::TopicAuthorizationFailed) => {
                f.write_str("; grant this client `Read` on the topic")
            }
            Some(Code::GroupAuthorizationFailed) => {
                f.write_str("; grant this client `Read` on the consumer group")
            }
            _ => Ok(()),
        }
    }
}

/// A property that librdkafka refuses. rdkafka's own text ends with the value, and librdkafka's may quote it.
fn write_refused_property(
    f: &mut fmt::Formatter<'_>,
    result: RDKafkaConfRes,
    text: &str,
    name: &str,
) -> fmt::Result {
    match result {
        _ if name.starts_with("sasl.oauthbearer.") && !cfg!(feature = "oidc") => write!(
            f,
            "this build has no logins by tokens, which `{name}` is for: build it with the feature `oidc`"
        ),
        RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN => {
            write!(
                f,
                "librdkafka has no property `{name}`, or not in this build"
            )
        }
        _ if is_harmless(name) => write!(f, "librdkafka refuses the property `{name}`: {text}"),
        _ => write!(
            f,
            "librdkafka doesn't take this value for the property `{name}`"
        ),
    }
}

/// A text of librdkafka as far as it may be shown. About `sasl.oauthbearer.config` it quotes the value, which may hold a
/// secret.
pub(super) fn without_secrets(text: &str) -> &str {
    let end = text
        .find("sasl.oauthbearer.config ")
        .and_then(|start| Some(start + text[start..].find("beginning at:")?));
    end.map_or(text, |end| text[..end].trim_end())
}

/// Without a source: the client's text contains it already.
impl std::error::Error for KafkaError {}

pub(super) fn is_authorization(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
        )
    )
}

/// Whether the error says why a connection to a broker failed. "All brokers are down" isn't such an error: it gives no
/// reason.
pub(super) fn is_about_a_connection(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::Resolve
                | Code::BrokerTransportFailure
        )
    )
}

/// What to do about a connection that failed for this reason. Empty if the reason says it.
pub(super) fn connection_advice(error: &ClientError, reason: &str) -> &'static str {
    match error.rdkafka_error_code() {
        // The worker's own words, which say what to do.
        Some(Code::Authentication) if iam::is_without_token(reason) => "",
        // Amazon's words.
        Some(Code::SaslAuthenticationFailed | Code::Authentication)
            if reason.contains("Access denied") =>
        {
            "; if this is Amazon MSK, allow `kafka-cluster:Connect` on the cluster to the role whose AWS credentials this \
             process has"
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed)
            if reason.contains("OAUTHBEARER") || reason.contains("invalid_token") =>
        {
            "; see whether the token server of `sasl.oauthbearer.token.endpoint.url` answers, and check \
             `sasl.oauthbearer.client.id` and `sasl.oauthbearer.client.secret`, or what else `sasl.oauthbearer.method` needs"
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "; check `sasl.mechanism`, `sasl.username` and `sasl.password`"
        }
        // A broker refuses a client's certificate, or that there is none, after the handshake.
        _ if reason.contains("SSL routines") && reason.contains(" alert ") => {
            "; set `ssl.certificate.location` and `ssl.key.location` to a certificate that the broker accepts"
        }
        // Of two texts that librdkafka has for this, only one comes with the code.
        code if code == Some(Code::SSL) || reason.contains("certificate verify failed") => {
            "; set `ssl.ca.location` to the certificate of the authority that signed the broker's, name the brokers in \
             `kafka.bootstrap_servers` as their certificates do, and see whether a certificate has expired"
        }
        _ => "",
    }
}

/// Whether the error says that no broker answered, and not what a broker answered.
pub(super) fn is_without_answer(error: &ClientError) -> bool {
    is_about_a_connection(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(Code::OperationTimedOut | Code::AllBrokersDown | Code::RequestTimedOut)
        )
}

pub(super) fn is_unknown_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
}

pub(super) fn is_too_large(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge)
    )
}

/// A failed commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("of the topic `{topic}`: {error}")]
pub struct CommitError {
    topic: String,
    error: KafkaError,
    class: CommitErrorClass,
}

/// What a failed commit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitErrorClass {
    /// The partitions belong to another member by now, which starts at the last commit.
    NotOurs,
    /// A rebalance is under way: the same commit may succeed after it.
    Rebalancing,
    /// The same commit may succeed later.
    Retriable,
    /// The same commit can't succeed until an operator acts.
    Refused,
}

impl CommitError {
    /// The error of a commit by a member of the group.
    pub(super) fn of_member(topic: &str, error: ClientError) -> Self {
        Self {
            topic: topic.to_owned(),
            class: CommitErrorClass::of(&error),
            error: error.into(),
        }
    }

    /// The error of a commit by a reader that is no member. Its group should have no members. If the partitions
    /// belong to one nevertheless, the commit can't succeed until an operator acts.
    pub(super) fn of_reader(topic: &str, error: ClientError) -> Self {
        let class = match CommitErrorClass::of(&error) {
            CommitErrorClass::NotOurs => CommitErrorClass::Refused,
            class => class,
        };
        Self {
            topic: topic.to_owned(),
            class,
            error: error.into(),
        }
    }

    /// For tests: the error of a commit for partitions that belong to another member.
    #[cfg(test)]
    pub fn not_ours() -> Self {
        Self::of_member(
            "topic",
            ClientError::ConsumerCommit(Code::IllegalGeneration),
        )
    }

    /// Whether an operator has to grant a right.
    pub fn is_authorization(&self) -> bool {
        self.error.is_authorization()
    }

    pub fn class(&self) -> CommitErrorClass {
        self.class
    }
}

impl CommitErrorClass {
    fn of(error: &ClientError) -> Self {
        match error.rdkafka_error_code() {
            Some(Code::RebalanceInProgress | Code::StaleMemberEpoch) => Self::Rebalancing,
            Some(
                Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedMemberEpoch
                | Code::AssignmentLost,
            ) => Self::NotOurs,
            Some(
                Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::InvalidCommitOffsetSize
                | Code::OffsetMetadataTooLarge
                | Code::FencedInstanceId,
            ) => Self::Refused,
            _ => Self::Retriable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_an_operator_can_mend_says_how() {
        let session = KafkaError(ClientError::MessageConsumption(Code::InvalidSessionTimeout));
        let text = session.to_string();
        assert!(text.contains("`group.max.session.timeout.ms`"), "{text}");
        for (error, right) in [
            (
                ClientError::MetadataFetch(Code::TopicAuthorizationFailed),
                "`Read` on the topic",
            ),
            (
                ClientError::MessageConsumption(Code::GroupAuthorizationFailed),
                "`Read` on the consumer group",
            ),
            (
                ClientError::AdminOp(Code::TopicAuthorizationFailed),
                "`DescribeConfigs` on the topic",
            ),
        ] {
            let text = KafkaError(error).to_string();
            assert!(text.contains(right), "{text}");
        }
    }

    #[test]
    fn a_connection_that_failed_for_its_certificates_says_what_to_set() {
        let failed = ClientError::Global(Code::SSL);
        let transport = ClientError::Global(Code::BrokerTransportFailure);
        for (reason, words) in [
            (
                "error:0A000086:SSL routines::certificate verify failed",
                "`ssl.ca.location`",
            ),
            (
                "error:0A000412:SSL routines::sslv3 alert bad certificate",
                "`ssl.certificate.location`",
            ),
        ] {
            for error in [&failed, &transport] {
                assert!(connection_advice(error, reason).contains(words));
            }
        }
        assert_eq!(connection_advice(&transport, "Connection refused"), "");
    }

    #[test]
    fn the_value_of_a_refused_property_is_not_shown() {
        let text_of = |name: &str, value: &str| {
            let error = rdkafka::ClientConfig::new()
                .set(name, value)
                .create_native_config()
                .err();
            KafkaError::from(error.unwrap()).to_string()
        };
        let unknown = text_of("sasl.pasword", "hunter2");
        assert!(unknown.contains("`sasl.pasword`"), "{unknown}");
        assert!(!unknown.contains("hunter2"), "{unknown}");
        let refused = text_of("enable.sasl.oauthbearer.unsecure.jwt", "hunter2");
        assert!(!refused.contains("hunter2"), "{refused}");
        let harmless = text_of("session.timeout.ms", "0");
        assert!(harmless.contains("allowed range"), "{harmless}");
        assert_eq!(
            without_secrets("failed: Unrecognized sasl.oauthbearer.config beginning at: hunter2=x"),
            "failed: Unrecognized sasl.oauthbearer.config"
        );
        assert_eq!(without_secrets("beginning at: 5"), "beginning at: 5");
    }
}
