//! Where partitions begin of which the group has committed nothing, and what the group's commits say about that.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaResult as ClientResult;

use super::queries::Queries;
use crate::core::commit_text::CommitText;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::{FirstStart, GroupHistory};

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
