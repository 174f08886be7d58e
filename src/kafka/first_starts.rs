//! Where partitions begin of which the group has committed nothing, and what the group's commits say about that.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaResult as ClientResult;

use super::queries::{Commits, Queries};
use crate::config::{AutoOffsetReset, Config};
use crate::core::commit_text::CommitText;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::{FirstStart, GroupHistory};

/// Where the configuration lets the group's first start begin.
pub(super) fn first_start(config: &Config) -> FirstStart {
    match config.kafka.auto_offset_reset {
        AutoOffsetReset::Earliest => FirstStart::Earliest,
        AutoOffsetReset::Latest => FirstStart::Latest,
    }
}

/// The text for commits that an operator makes for the group, in a topic of so many `partitions`. What the group's commits
/// say of the first start stays. If the group has committed nothing, these commits are its first start: without the
/// number, the partitions that they leave out would begin at their beginning, whatever the setting.
pub(super) fn text_of_operator(
    configured: FirstStart,
    commits: &Commits,
    partitions: usize,
) -> Option<String> {
    let mut text = CommitText::default();
    for of_partition in commits.texts.values() {
        text.partitions_at_first_start = of_partition
            .partitions_at_first_start
            .max(text.partitions_at_first_start);
        text.without_leader.extend(&of_partition.without_leader);
    }
    let is_first_start = configured == FirstStart::Latest && commits.offsets.is_empty();
    if is_first_start && text.partitions_at_first_start.is_none() {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        text.partitions_at_first_start = Some(count);
    }
    text.write()
}

/// Where a partition begins if the group has committed no offset for it. Behind a lock, because the poller changes it,
/// and the commit thread reads it for each commit.
pub(super) struct FirstStarts {
    configured: FirstStart,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// This process found the topic missing, or noticed that it was recreated: everything in it is new to the group.
    is_topic_new: bool,
    /// How many partitions the topic had when the group first started.
    partitions: Option<i32>,
    /// Those of them that had no leader then. Where they ended isn't known, so they begin at their beginning.
    without_leader: BTreeSet<i32>,
}

impl FirstStarts {
    pub(super) fn new(configured: FirstStart) -> Self {
        Self {
            configured,
            known: Mutex::default(),
        }
    }

    pub(super) fn topic_is_new(&self) {
        *self.known() = Known {
            is_topic_new: true,
            // All of its partitions came after the group's first start.
            partitions: Some(0),
            without_leader: BTreeSet::new(),
        };
    }

    /// The bounds of this partition's log aren't known, so it begins at its beginning. Returns whether the
    /// configuration says otherwise.
    pub(super) fn begins_at_its_beginning(&self, partition: TopicPartition) -> bool {
        if self.configured == FirstStart::Latest {
            self.known().without_leader.insert(partition.number);
        }
        self.configured == FirstStart::Latest
    }

    /// What the next commits say: it lets the other members tell a partition of the first start from one that was
    /// added later.
    pub(super) fn commit_text(&self) -> CommitText {
        if self.configured == FirstStart::Earliest {
            return CommitText::default();
        }
        let known = self.known();
        CommitText {
            topic_id: None,
            partitions_at_first_start: known.partitions,
            without_leader: known.without_leader.clone(),
            rejections: None,
        }
    }

    /// Where each of `partitions` begins if the group has committed no offset for it. `has_commits`: the group has
    /// committed an offset for each of them.
    pub(super) fn of_partitions<C: ConsumerContext>(
        &self,
        queries: &Queries<'_, C>,
        partitions: &[TopicPartition],
        has_commits: bool,
    ) -> ClientResult<Vec<(TopicPartition, FirstStart)>> {
        let history = match self.configured {
            // Every partition begins at its beginning, whatever the history is.
            FirstStart::Earliest => GroupHistory::FirstStart,
            FirstStart::Latest => self.history(queries, has_commits)?,
        };
        let known = self.known();
        let start = |partition: TopicPartition| {
            if known.is_topic_new || known.without_leader.contains(&partition.number) {
                FirstStart::Earliest
            } else {
                self.configured.of_partition(partition.number, history)
            }
        };
        Ok(partitions.iter().map(|&p| (p, start(p))).collect())
    }

    /// What the group's commits say about its first start.
    fn history<C: ConsumerContext>(
        &self,
        queries: &Queries<'_, C>,
        has_commits: bool,
    ) -> ClientResult<GroupHistory> {
        let Some(partitions) = queries.partitions()? else {
            self.topic_is_new();
            return Ok(GroupHistory::Started {
                partitions: Some(0),
            });
        };
        if self.known().is_topic_new {
            // The texts of commits may be about the topic that was there before.
            return Ok(GroupHistory::Started {
                partitions: Some(0),
            });
        }
        let commits = queries.commits(&partitions)?;
        let mut known = self.known();
        for text in commits.texts.into_values() {
            known.partitions = text.partitions_at_first_start.max(known.partitions);
            known.without_leader.extend(text.without_leader);
        }
        if known.partitions.is_some() {
            return Ok(GroupHistory::Started {
                partitions: known.partitions,
            });
        }
        if !commits.offsets.is_empty() || has_commits {
            return Ok(GroupHistory::Started { partitions: None });
        }
        known.partitions = Some(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
        Ok(GroupHistory::FirstStart)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::Offset;

    fn said(partitions: i32) -> CommitText {
        CommitText {
            partitions_at_first_start: Some(partitions),
            ..CommitText::default()
        }
    }

    #[test]
    fn an_operators_commits_keep_what_is_known_of_the_first_start() {
        let commits = |texts: &[CommitText], committed: i32| Commits {
            offsets: (0..committed)
                .map(|number| (TopicPartition::consumed(number), Offset(5)))
                .collect(),
            texts: (0..)
                .map(TopicPartition::consumed)
                .zip(texts.iter().cloned())
                .collect(),
        };
        let of_a_topic = |id: &str, text: CommitText| CommitText {
            topic_id: Some(id.to_owned()),
            ..text
        };
        let (latest, earliest) = (FirstStart::Latest, FirstStart::Earliest);
        let nothing = CommitText::default;
        let known = commits(&[nothing(), of_a_topic("a", said(3))], 2);
        for (configured, commits, expected) in [
            // The id isn't kept: the operator's offsets are those of the topic that is there now.
            (latest, &known, Some(said(3))),
            (earliest, &known, Some(said(3))),
            // Nothing is known of the first start, and it is over.
            (latest, &commits(&[nothing(), nothing()], 1), None),
            // These commits are the first start.
            (latest, &commits(&[nothing(), nothing()], 0), Some(said(4))),
            (earliest, &commits(&[nothing(), nothing()], 0), None),
        ] {
            let expected = expected.and_then(|text| text.write());
            assert_eq!(text_of_operator(configured, commits, 4), expected);
        }
    }
}
