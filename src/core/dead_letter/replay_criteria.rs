//! Decides which dead letters a replay takes.

use super::DeadLetterHeaders;
use crate::core::record::OriginalRecord;
use crate::core::rejection::Reason;

/// The consumer group of the replays of one reason, for which their progress is committed.
pub fn replay_group(group: &str, reason: Reason) -> String {
    format!("{group}.replay.{reason}")
}

/// The dead letters that a replay takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayCriteria {
    /// Take only dead letters of this consumed topic: others belong in another collection.
    pub topic: String,
    /// Take only dead letters that this consumer group wrote: another group's messages belong where that group
    /// stores them.
    pub consumer_group: String,
    /// Take only dead letters with this reason.
    pub reason: Reason,
    /// Take only dead letters that failed at this time or later.
    pub since: Option<jiff::Timestamp>,
    /// Take only dead letters that were replayed fewer times than this.
    pub max_replays: u32,
}

/// Whether a replay takes a dead letter, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayDecision {
    Take(OriginalRecord),
    /// It has another reason, or none.
    OtherReason,
    /// It comes from another topic, or doesn't say from where.
    OtherTopic,
    /// Another consumer group wrote it, or it doesn't say which one.
    OtherGroup,
    /// It failed before `since`.
    Older,
    /// It was replayed `max_replays` times or more.
    ReplayedEnough,
    /// Its value was left out because it was too large for the dead letter topic.
    WithoutValue,
}

impl ReplayCriteria {
    /// Decides about one dead letter. `written_at` is the timestamp of the dead letter itself; it is
    /// used if its headers don't say when the record failed.
    pub fn decide(
        &self,
        letter: &DeadLetterHeaders<'_>,
        written_at: Option<jiff::Timestamp>,
    ) -> ReplayDecision {
        let Some((partition, offset)) = letter.source_in(&self.topic) else {
            return ReplayDecision::OtherTopic;
        };
        if letter.consumer_group != Some(&self.consumer_group) {
            return ReplayDecision::OtherGroup;
        }
        if letter.reason != Some(self.reason.as_str()) {
            return ReplayDecision::OtherReason;
        }
        let failed_at = letter.failed_at.or(written_at);
        if let (Some(since), Some(failed_at)) = (self.since, failed_at)
            && failed_at < since
        {
            return ReplayDecision::Older;
        }
        if letter.value_omitted {
            return ReplayDecision::WithoutValue;
        }
        if letter.replay_count >= self.max_replays {
            return ReplayDecision::ReplayedEnough;
        }
        ReplayDecision::Take(OriginalRecord {
            partition,
            offset,
            timestamp: letter.timestamp,
            replay_count: letter.replay_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::{Offset, TopicPartition};
    use crate::core::record::Timestamp;

    fn instant(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }

    fn letter() -> DeadLetterHeaders<'static> {
        DeadLetterHeaders {
            reason: Some("mongodb_unavailable"),
            topic: Some("data-topic"),
            partition: Some(TopicPartition::consumed(2)),
            offset: Some(Offset(40)),
            timestamp: Timestamp::CreateTime(5),
            failed_at: Some(instant("2023-07-15T12:00:00Z")),
            consumer_group: Some("group"),
            replay_count: 2,
            ..DeadLetterHeaders::NONE
        }
    }

    fn criteria() -> ReplayCriteria {
        ReplayCriteria {
            topic: "data-topic".to_owned(),
            consumer_group: "group".to_owned(),
            reason: Reason::MongodbUnavailable,
            since: Some(instant("2023-07-15T12:00:00Z")),
            max_replays: 3,
        }
    }

    #[test]
    fn a_replay_takes_no_dead_letter_of_another_group() {
        for consumer_group in [Some("another"), None] {
            let letter = DeadLetterHeaders {
                consumer_group,
                ..letter()
            };
            let decision = criteria().decide(&letter, None);
            assert_eq!(decision, ReplayDecision::OtherGroup);
        }
    }

    #[test]
    fn a_replay_takes_exactly_the_dead_letters_that_match() {
        let criteria = criteria();
        let letter = letter();
        let taken = ReplayDecision::Take(OriginalRecord {
            partition: TopicPartition::consumed(2),
            offset: Offset(40),
            timestamp: Timestamp::CreateTime(5),
            replay_count: 2,
        });
        let earlier = Some(instant("2023-07-15T11:59:59.999Z"));
        for (letter, written_at, expected) in [
            (letter, None, taken),
            (letter, earlier, taken),
            (
                DeadLetterHeaders {
                    reason: Some("invalid_json"),
                    ..letter
                },
                None,
                ReplayDecision::OtherReason,
            ),
            (
                DeadLetterHeaders {
                    reason: None,
                    ..letter
                },
                None,
                ReplayDecision::OtherReason,
            ),
            (
                DeadLetterHeaders {
                    topic: Some("other"),
                    ..letter
                },
                None,
                ReplayDecision::OtherTopic,
            ),
            (
                DeadLetterHeaders {
                    offset: None,
                    ..letter
                },
                None,
                ReplayDecision::OtherTopic,
            ),
            (
                DeadLetterHeaders {
                    failed_at: earlier,
                    ..letter
                },
                None,
                ReplayDecision::Older,
            ),
            (
                DeadLetterHeaders {
                    failed_at: None,
                    ..letter
                },
                earlier,
                ReplayDecision::Older,
            ),
            (
                DeadLetterHeaders {
                    failed_at: None,
                    ..letter
                },
                None,
                taken,
            ),
            (
                DeadLetterHeaders {
                    replay_count: 3,
                    ..letter
                },
                None,
                ReplayDecision::ReplayedEnough,
            ),
            (
                DeadLetterHeaders {
                    value_omitted: true,
                    ..letter
                },
                None,
                ReplayDecision::WithoutValue,
            ),
        ] {
            assert_eq!(criteria.decide(&letter, written_at), expected, "{letter:?}");
        }
    }
}
