//! Commits offsets that an operator chose, in the name of a group that has no members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::commit::commit;
use super::errors::KafkaError;
use super::first_starts::{first_start, text_of_operator};
use super::group::{Group, Members};
use super::reader::TopicReader;
use super::reader_error::ReadError;
use crate::config::Config;
use crate::core::partition::{Offset, TopicPartition};

/// The commit call itself has no time limit.
const ANSWER: Duration = Duration::from_secs(30);

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// A member would go on at its own position, and commit over what was set.
    #[error("the consumer group `{group}` has {}", members_in_words(*.members))]
    HasMembers {
        group: String,
        /// `None` if the brokers tell only that there are some.
        members: Option<usize>,
    },
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The commit may be done nevertheless.
    #[error("Kafka has not answered the commit for {} s, so it may be done or not", ANSWER.as_secs())]
    NoAnswer,
    #[error("Kafka refuses the commit: {0}")]
    Commit(KafkaError),
}

fn members_in_words(members: Option<usize>) -> String {
    match members {
        None => "members".to_owned(),
        Some(1) => "1 member".to_owned(),
        Some(count) => format!("{count} members"),
    }
}

impl TopicReader {
    /// Fails if the group has members, as far as the brokers tell.
    pub fn check_has_no_members(&self) -> Result<(), ResetError> {
        match self.group()? {
            Some(Group {
                members: Members::Known(members),
                ..
            }) if !members.is_empty() => Err(self.has_members(Some(members.len()))),
            _ => Ok(()),
        }
    }

    /// Commits these offsets for the group. `all` are the partitions of the topic. A group that has members is
    /// refused; Kafka refuses the commit itself if a member has joined since.
    pub fn reset(
        &self,
        config: &Config,
        all: &[TopicPartition],
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ResetError> {
        let text = text_of_operator(first_start(config), &self.commits(all)?, all.len());
        let offsets = offsets.clone();
        self.check_has_no_members()?;
        let (consumer, topic) = (Arc::clone(self.client()), self.topic().clone());
        let (answered, answer) = bounded(1);
        let call = move || {
            let result = commit(&consumer, &topic, offsets, |_| text.clone());
            // If nobody waits any more, the command has reported that there was no answer.
            let _ = answered.send(result);
        };
        let thread = thread::Builder::new().name("commit".to_owned());
        if thread.spawn(call).is_err() {
            return Err(ResetError::NoAnswer);
        }
        match answer.recv_timeout(ANSWER) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.refused(error)),
            Err(_) => Err(ResetError::NoAnswer),
        }
    }

    fn refused(&self, error: ClientError) -> ResetError {
        match error.rdkafka_error_code() {
            // Kafka's answers to a commit by no member while the group has members.
            Some(
                Code::UnknownMemberId
                | Code::IllegalGeneration
                | Code::RebalanceInProgress
                | Code::FencedMemberEpoch
                | Code::StaleMemberEpoch,
            ) => self.has_members(None),
            _ => match self.refusal(&error, None) {
                Some(refusal) => ResetError::Read(refusal),
                None => ResetError::Commit(error.into()),
            },
        }
    }

    fn has_members(&self, members: Option<usize>) -> ResetError {
        ResetError::HasMembers {
            group: self.group_name().to_owned(),
            members,
        }
    }
}
