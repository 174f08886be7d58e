//! What Kafka's errors mean to us.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What a failed commit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitProblem {
    /// The partitions are gone: their next owner starts at the last commit.
    NotOurs,
    /// A rebalance is under way: the same again may succeed once it is through.
    Rebalancing,
    /// The same again may succeed.
    Passing,
    /// It won't, until an operator acts.
    Refused,
}

impl CommitProblem {
    #[must_use]
    pub fn of(error: &KafkaError) -> Self {
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
            _ => Self::Passing,
        }
    }
}

/// Whether an operator has to allow us something.
#[must_use]
pub fn is_authorization(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
        )
    )
}

/// What an operator can do about a dead letter that Kafka won't take.
#[must_use]
pub fn dead_letter_advice(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => {
            "raise `max.message.bytes` of that topic, or set `kafka.dead_letter_oversize` to \
             \"omit_value\""
        }
        Some(Code::MessageTimedOut | Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            "see that its broker is up, and that it exists: create it where topics aren't created \
             automatically"
        }
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            "allow this client to write to that topic"
        }
        Some(Code::InvalidRecord) => {
            "see whether that topic is compacted: a record without a key can't be written to such a one"
        }
        _ => "see the broker's log",
    }
}
