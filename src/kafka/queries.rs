//! What brokers are asked about a topic: its partitions, the bounds of its logs, a group's offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::errors::is_unknown_topic;
use super::topic::Topic;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::LogBounds;

/// One consumer's questions about one topic. Each question waits up to `timeout`.
pub(super) struct Queries<'a, C: ConsumerContext> {
    pub(super) consumer: &'a BaseConsumer<C>,
    pub(super) topic: &'a Topic,
    pub(super) timeout: Duration,
}

/// A group's commits. Partitions without a commit are left out.
pub(super) struct Commits {
    pub(super) offsets: BTreeMap<TopicPartition, Offset>,
    /// The texts (Kafka calls them metadata) that are stored with the commits.
    pub(super) texts: Vec<String>,
}

/// One partition, as the brokers' metadata has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    pub partition: TopicPartition,
    pub has_leader: bool,
}

impl<C: ConsumerContext> Queries<'_, C> {
    /// `None` if there is no such topic.
    pub(super) fn partitions(&self) -> ClientResult<Option<Vec<TopicPartition>>> {
        let states = self.partition_states()?;
        Ok(states.map(|states| states.iter().map(|state| state.partition).collect()))
    }

    /// The partitions in their order. `None` if there is no such topic.
    pub(super) fn partition_states(&self) -> ClientResult<Option<Vec<PartitionState>>> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic.name), self.timeout)?;
        let mut topics = metadata.topics().iter();
        let Some(topic) = topics.find(|topic| topic.name() == self.topic.name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(code) if is_unknown_topic(code) => Ok(None),
            Some(code) => Err(ClientError::MetadataFetch(code)),
            None => {
                let states = topic.partitions().iter().map(|p| PartitionState {
                    partition: self.topic.partition(p.id()),
                    has_leader: p.leader() >= 0,
                });
                let mut states: Vec<_> = states.collect();
                states.sort_unstable_by_key(|state| state.partition);
                Ok(Some(states).filter(|found| !found.is_empty()))
            }
        }
    }

    /// Those of `partitions` that have a leader, as the brokers say. Asking for the offsets of a partition without
    /// a leader would only wait in vain, and the answers for the others would be lost.
    pub(super) fn with_leader(
        &self,
        partitions: &[TopicPartition],
    ) -> ClientResult<Vec<TopicPartition>> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic.name), self.timeout)?;
        let mut topics = metadata.topics().iter();
        let Some(topic) = topics.find(|topic| topic.name() == self.topic.name) else {
            return Ok(Vec::new());
        };
        if let Some(error) = topic.error() {
            return Err(ClientError::MetadataFetch(error.into()));
        }
        let led = topic.partitions().iter().filter(|p| p.leader() >= 0);
        let led: BTreeSet<i32> = led.map(MetadataPartition::id).collect();
        let mut partitions = partitions.to_vec();
        partitions.retain(|partition| led.contains(&partition.number));
        Ok(partitions)
    }

    /// Empty where `partitions` is empty.
    pub(super) fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> ClientResult<BTreeMap<TopicPartition, LogBounds>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        // For this request librdkafka takes the two special offsets as the log's ends: one request for each
        // broker, where `fetch_watermarks` makes one for each partition.
        let earliest = self.offsets_for(partitions, KafkaOffset::Beginning)?;
        let latest = self.offsets_for(partitions, KafkaOffset::End)?;
        let missing = || ClientError::OffsetFetch(RDKafkaErrorCode::NoOffset);
        let bounds = partitions.iter().map(|partition| {
            let earliest = *earliest.get(partition).ok_or_else(missing)?;
            let latest = *latest.get(partition).ok_or_else(missing)?;
            Ok((*partition, LogBounds { earliest, latest }))
        });
        bounds.collect()
    }

    /// The answers of `ListOffsets` for a time in milliseconds, or for one of the special offsets.
    /// Partitions without an answer are left out.
    pub(super) fn offsets_for(
        &self,
        partitions: &[TopicPartition],
        time: KafkaOffset,
    ) -> ClientResult<BTreeMap<TopicPartition, Offset>> {
        let list = self.list(partitions, time)?;
        self.found(&self.consumer.offsets_for_times(list, self.timeout)?)
    }

    /// Asks the leaders for the ends of their partitions' logs. Fails if none of them answers.
    pub(super) fn any_offset(&self, partitions: &[TopicPartition]) -> ClientResult<()> {
        let list = self.list(partitions, KafkaOffset::End)?;
        let answers = self.consumer.offsets_for_times(list, self.timeout)?;
        let mut errors = Vec::new();
        for element in answers.elements() {
            match element.error() {
                Ok(()) => return Ok(()),
                Err(error) => errors.push(error),
            }
        }
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// What the group has committed. Partitions without a commit are left out.
    pub(super) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> ClientResult<BTreeMap<TopicPartition, Offset>> {
        let list = self.list(partitions, KafkaOffset::Invalid)?;
        self.found(&self.consumer.committed_offsets(list, self.timeout)?)
    }

    /// What the group has committed, with the text of each commit. Kafka's brokers give the texts as UTF-8.
    pub(super) fn commits(&self, partitions: &[TopicPartition]) -> ClientResult<Commits> {
        let list = self.list(partitions, KafkaOffset::Invalid)?;
        let list = self.consumer.committed_offsets(list, self.timeout)?;
        let texts = list
            .elements()
            .iter()
            .map(|e| e.metadata().to_owned())
            .collect();
        let offsets = self.found(&list)?;
        Ok(Commits { offsets, texts })
    }

    fn list(
        &self,
        partitions: &[TopicPartition],
        offset: KafkaOffset,
    ) -> ClientResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition_offset(&self.topic.name, partition.number, offset)?;
        }
        Ok(list)
    }

    /// The partitions that have an offset.
    fn found(&self, list: &TopicPartitionList) -> ClientResult<BTreeMap<TopicPartition, Offset>> {
        let mut offsets = BTreeMap::new();
        for element in list.elements() {
            element.error()?;
            if let KafkaOffset::Offset(offset) = element.offset() {
                let partition = self.topic.partition(element.partition());
                offsets.insert(partition, Offset(offset));
            }
        }
        Ok(offsets)
    }
}
