//! What a reader asks about its topic and its group. None of the questions changes anything.

use std::collections::BTreeMap;

use rdkafka::Offset as KafkaOffset;

use super::group::{self, Group};
use super::queries::{Commits, PartitionState, Queries};
use super::reader::TopicReader;
use super::reader_error::ReadError;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::LogBounds;

impl TopicReader {
    /// What each partition holds now. `None` if there is no such topic.
    pub fn bounds(&self) -> Result<Option<BTreeMap<TopicPartition, LogBounds>>, ReadError> {
        self.ask(|queries| {
            let bounds = |partitions: Vec<_>| queries.bounds(&partitions);
            queries.partitions()?.map(bounds).transpose()
        })
    }

    /// What each of `partitions` holds now. Each must have a leader.
    pub fn bounds_of(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, LogBounds>, ReadError> {
        self.ask(|queries| queries.bounds(partitions))
    }

    /// The topic's partitions, in their order. `None` if there is no such topic.
    pub fn partition_states(&self) -> Result<Option<Vec<PartitionState>>, ReadError> {
        self.ask(Queries::partition_states)
    }

    /// The first offset of each partition whose record is of `millis` (since 1970) or later. A partition
    /// without such a record is left out.
    pub fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        millis: i64,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ReadError> {
        // Negative numbers are the special offsets.
        let time = KafkaOffset::Offset(millis.max(0));
        self.ask(|queries| queries.offsets_for(partitions, time))
    }

    /// What the group has committed. Partitions without a commit are left out.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ReadError> {
        self.ask(|queries| queries.committed(partitions))
    }

    /// The group that this reader asks for. `None` if there is no such group yet.
    pub fn group(&self) -> Result<Option<Group>, ReadError> {
        self.ask(|queries| group::describe(queries, self.group_name()))
    }

    /// What the group has committed, with the text of each commit.
    pub(super) fn commits(&self, partitions: &[TopicPartition]) -> Result<Commits, ReadError> {
        self.ask(|queries| queries.commits(partitions))
    }
}
