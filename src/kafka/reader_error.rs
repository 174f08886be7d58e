//! Why a topic can't be read, in words for an operator.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::errors::KafkaError;
use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Settings(KafkaError),
    /// Waiting doesn't help: an operator has to grant a right, or to correct the credentials.
    #[error("{missing} ({reason})")]
    Refused { missing: String, reason: String },
    #[error("{0}")]
    Kafka(KafkaError),
    /// No broker has answered.
    #[error("{error}{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    NoAnswer {
        error: KafkaError,
        /// Why the last connection failed, in the client's words.
        reason: Option<String>,
    },
    /// Nothing has come for a long time.
    #[error(
        "can't read `{topic}` to its end: nothing has come for {} s{}",
        waited.as_secs(),
        last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
    )]
    Silence {
        topic: String,
        waited: Duration,
        last_error: Option<KafkaError>,
    },
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Settings(_) => {
                Failure::configuration("the Kafka client can't use its properties").because(error)
            }
            ReadError::Refused { .. } => Failure::kafka_refused().because(error),
            ReadError::Kafka(_) | ReadError::NoAnswer { .. } | ReadError::Silence { .. } => {
                Failure::kafka_unreachable().because(error)
            }
        }
    }
}

/// Which right or setting a client lacks that reads `topic` for `group` and gets this code from a broker. `None` if the
/// code doesn't mean that.
pub(super) fn missing(code: Code, topic: &str, group: &str) -> Option<String> {
    match code {
        Code::TopicAuthorizationFailed => Some(format!(
            "this client may not read the topic `{topic}`: grant it `Read` on this topic"
        )),
        Code::GroupAuthorizationFailed => Some(format!(
            "this client may not use the consumer group `{group}`: grant it `Read` on this group"
        )),
        Code::ClusterAuthorizationFailed => Some(
            "this client lacks a right on the cluster: the log of the broker's authorizer names it"
                .to_owned(),
        ),
        Code::TransactionalIdAuthorizationFailed => Some(
            "this client lacks a right on a transactional id: the log of the broker's authorizer names it"
                .to_owned(),
        ),
        Code::Authentication | Code::SaslAuthenticationFailed => Some(
            "a broker doesn't accept this client's credentials: correct them in `kafka.properties`"
                .to_owned(),
        ),
        Code::UnsupportedSASLMechanism => Some(
            "a broker doesn't offer this client's way to log in: correct `sasl.mechanism` in \
             `kafka.properties`"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_right_and_the_thing() {
        for (code, words) in [
            (Code::TopicAuthorizationFailed, "`Read` on this topic"),
            (Code::TopicAuthorizationFailed, "the topic `t`"),
            (Code::GroupAuthorizationFailed, "`Read` on this group"),
            (Code::GroupAuthorizationFailed, "the consumer group `g`"),
            (Code::ClusterAuthorizationFailed, "the cluster"),
            (
                Code::TransactionalIdAuthorizationFailed,
                "a transactional id",
            ),
            (Code::Authentication, "`kafka.properties`"),
            (Code::SaslAuthenticationFailed, "`kafka.properties`"),
            (Code::UnsupportedSASLMechanism, "`sasl.mechanism`"),
        ] {
            let missing = missing(code, "t", "g").unwrap();
            assert!(missing.contains(words), "{missing}");
        }
        assert_eq!(missing(Code::OperationTimedOut, "t", "g"), None);
    }
}
