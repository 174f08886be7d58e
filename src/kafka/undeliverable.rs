//! Why a dead letter could not be written, in words for an operator.

use std::fmt;
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

/// Why a dead letter could not be written, and what an operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeliverable {
    pub cause: String,
    pub advice: String,
}

impl Undeliverable {
    pub(super) fn new(topic: &str, error: &ClientError) -> Self {
        Self {
            cause: error.to_string(),
            advice: advice(topic, error.rdkafka_error_code()),
        }
    }

    /// The producer has failed for good. Then the errors of its letters say only that.
    pub(super) fn fatal(topic: &str, code: Code, text: String) -> Self {
        Self {
            cause: text,
            advice: advice(topic, Some(code)),
        }
    }

    /// No letter under way got an answer for so long.
    pub(super) fn no_answer(topic: &str, patience: Duration) -> Self {
        Self {
            cause: format!(
                "no dead letter was acknowledged for {} s",
                patience.as_secs_f64()
            ),
            advice: advice(topic, Some(Code::MessageTimedOut)),
        }
    }

    #[cfg(test)]
    pub fn example() -> Self {
        Self::new("topic", &ClientError::Canceled)
    }
}

impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.advice)
    }
}

impl std::error::Error for Undeliverable {}

fn advice(topic: &str, code: Option<Code>) -> String {
    match code {
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => {
            "raise `max.message.bytes` of that topic, or set `kafka.dead_letter_oversize` to \
             \"omit_value\""
                .to_owned()
        }
        Some(Code::MessageTimedOut | Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            format!(
                "see that its broker is up, and that it exists: create it where topics aren't created \
                 automatically. A topic that this client may not see looks like a missing one: grant it \
                 the right WRITE on topic `{topic}`"
            )
        }
        Some(Code::TopicAuthorizationFailed) => {
            format!("grant this client the right WRITE on topic `{topic}`")
        }
        Some(Code::ClusterAuthorizationFailed) => {
            format!(
                "grant this client the right WRITE on topic `{topic}`; brokers older than Kafka 2.8 also want \
                 the right IDEMPOTENT_WRITE on the cluster"
            )
        }
        Some(Code::InvalidRecord) => {
            "see whether that topic is compacted: a record without a key can't be written to such a topic"
                .to_owned()
        }
        Some(Code::InvalidTimestamp) => {
            "compare this host's clock with the broker's: a dead letter has the time of the failure, and \
             `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` of that topic limit \
             how far it may be off"
                .to_owned()
        }
        _ => "see the broker's log".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_an_operator_can_end_says_how() {
        let said = |code| Undeliverable::new("letters", &ClientError::MessageProduction(code));
        let clock = said(Code::InvalidTimestamp);
        assert!(clock.advice.contains("clock"), "{clock}");
        let right = said(Code::TopicAuthorizationFailed);
        assert!(right.advice.contains("WRITE on topic `letters`"), "{right}");
        let missing = said(Code::UnknownTopic);
        assert!(missing.advice.contains("may not see"), "{missing}");
    }
}
