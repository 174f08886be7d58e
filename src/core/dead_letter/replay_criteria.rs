//! Which dead letters a replay takes.

use super::Provenance;
use crate::core::record::Replay;
use crate::core::rejection::Reason;

/// What a replay is after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The consumed topic: what comes from another one belongs into another collection.
    pub topic: String,
    pub reason: Reason,
    /// Not those that failed before this.
    pub since: Option<jiff::Timestamp>,
    /// Not those that were replayed so often.
    pub max_replays: u32,
}

/// What is to be done with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Take(Replay),
    OtherReason,
    /// It comes from another topic, or doesn't say from where.
    OtherTopic,
    /// It failed before the time that was asked for.
    Older,
    /// It was replayed as often as is allowed.
    ReplayedEnough,
    /// It was too large for its topic, and has no value any more.
    WithoutValue,
}

impl Selection {
    /// `written_at` is the dead letter's own time, for one that doesn't say when it failed.
    #[must_use]
    pub fn choose(&self, letter: &Provenance<'_>, written_at: Option<jiff::Timestamp>) -> Choice {
        let Some((partition, offset)) = letter.source_in(&self.topic) else {
            return Choice::OtherTopic;
        };
        if letter.reason != Some(self.reason.as_str()) {
            return Choice::OtherReason;
        }
        let failed_at = letter.failed_at.or(written_at);
        if let (Some(since), Some(failed_at)) = (self.since, failed_at)
            && failed_at < since
        {
            return Choice::Older;
        }
        if letter.value_omitted {
            return Choice::WithoutValue;
        }
        if letter.replay_count >= self.max_replays {
            return Choice::ReplayedEnough;
        }
        Choice::Take(Replay {
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
    use crate::core::partition::{Offset, Partition};
    use crate::core::record::Timestamp;

    fn instant(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }

    fn letter() -> Provenance<'static> {
        Provenance {
            reason: Some("mongodb_unavailable"),
            topic: Some("data-topic"),
            partition: Some(Partition(2)),
            offset: Some(Offset(40)),
            timestamp: Timestamp::CreateTime(5),
            failed_at: Some(instant("2023-07-15T12:00:00Z")),
            replay_count: 2,
            ..Provenance::of(std::iter::empty())
        }
    }

    #[test]
    fn a_replay_takes_what_was_asked_for() {
        let selection = Selection {
            topic: "data-topic".to_owned(),
            reason: Reason::MongodbUnavailable,
            since: Some(instant("2023-07-15T12:00:00Z")),
            max_replays: 3,
        };
        let letter = letter();
        let taken = Choice::Take(Replay {
            partition: Partition(2),
            offset: Offset(40),
            timestamp: Timestamp::CreateTime(5),
            replay_count: 2,
        });
        let earlier = Some(instant("2023-07-15T11:59:59.999Z"));
        for (letter, written_at, expected) in [
            (letter, None, taken),
            (letter, earlier, taken),
            (
                Provenance {
                    reason: Some("invalid_json"),
                    ..letter
                },
                None,
                Choice::OtherReason,
            ),
            (
                Provenance {
                    reason: None,
                    ..letter
                },
                None,
                Choice::OtherReason,
            ),
            (
                Provenance {
                    topic: Some("other"),
                    ..letter
                },
                None,
                Choice::OtherTopic,
            ),
            (
                Provenance {
                    offset: None,
                    ..letter
                },
                None,
                Choice::OtherTopic,
            ),
            (
                Provenance {
                    failed_at: earlier,
                    ..letter
                },
                None,
                Choice::Older,
            ),
            (
                Provenance {
                    failed_at: None,
                    ..letter
                },
                earlier,
                Choice::Older,
            ),
            (
                Provenance {
                    failed_at: None,
                    ..letter
                },
                None,
                taken,
            ),
            (
                Provenance {
                    replay_count: 3,
                    ..letter
                },
                None,
                Choice::ReplayedEnough,
            ),
            (
                Provenance {
                    value_omitted: true,
                    ..letter
                },
                None,
                Choice::WithoutValue,
            ),
        ] {
            assert_eq!(
                selection.choose(&letter, written_at),
                expected,
                "{letter:?}"
            );
        }
    }
}
