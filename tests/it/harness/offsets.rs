//! The offsets of a group and of a topic.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::waiting;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The first and the next offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub earliest: i64,
    /// The next offset to be written.
    pub end: i64,
}

/// Reads offsets without joining the group.
pub struct Observer {
    consumer: BaseConsumer,
}

impl Observer {
    pub fn new(kafka: &str, group: &str) -> Self {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // Makes the end that of the log, even while a transaction is open.
            .set("isolation.level", "read_uncommitted")
            .create()
            .unwrap();
        Self { consumer }
    }

    pub fn has_topic(&self, topic: &str) -> bool {
        !partitions_of(&self.consumer, topic).is_empty()
    }

    /// The bounds of each partition; none if there is no such topic.
    pub fn bounds(&self, topic: &str) -> BTreeMap<i32, Bounds> {
        ends_of(&self.consumer, topic)
    }

    /// The group's committed offset of each partition. Waits until the group has a coordinator.
    pub fn committed(&self, topic: &str) -> BTreeMap<i32, Option<i64>> {
        let offset_of = |offset: Offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        self.commits(topic)
            .elements()
            .iter()
            .map(|element| (element.partition(), offset_of(element.offset())))
            .collect()
    }

    /// The texts that are stored with the group's commits.
    pub fn committed_texts(&self, topic: &str) -> BTreeMap<i32, String> {
        self.commits(topic)
            .elements()
            .iter()
            .map(|element| (element.partition(), element.metadata().to_owned()))
            .collect()
    }

    fn commits(&self, topic: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions_of(&self.consumer, topic) {
            list.add_partition(topic, partition);
        }
        waiting::until("the coordinator answers", TIMEOUT, || {
            self.consumer.committed_offsets(list.clone(), TIMEOUT).ok()
        })
    }

    /// Commits an offset for the group, which must have no members.
    pub fn commit(&self, topic: &str, partition: i32, offset: i64) {
        self.commit_with_text(topic, partition, offset, "");
    }

    /// The same with a text, which is stored with the commit.
    pub fn commit_with_text(&self, topic: &str, partition: i32, offset: i64, text: &str) {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset)).unwrap();
        element.set_metadata(text);
        waiting::until("the coordinator takes the commit", TIMEOUT, || {
            self.consumer.commit(&list, CommitMode::Sync).ok()
        });
    }

    /// The number of members of the group.
    pub fn members(&self, group: &str) -> usize {
        let groups = self
            .consumer
            .client()
            .fetch_group_list(Some(group), TIMEOUT)
            .unwrap();
        groups
            .groups()
            .iter()
            .map(|group| group.members().len())
            .sum()
    }
}

fn partitions_of(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic)
        .flat_map(|found| {
            found
                .partitions()
                .iter()
                .map(rdkafka::metadata::MetadataPartition::id)
        })
        .collect()
}

pub(super) fn ends_of(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, Bounds> {
    partitions_of(consumer, topic)
        .into_iter()
        .map(|partition| {
            // A new topic may have no leader yet.
            let (earliest, end) = waiting::until("the partition's leader answers", TIMEOUT, || {
                consumer.fetch_watermarks(topic, partition, TIMEOUT).ok()
            });
            (partition, Bounds { earliest, end })
        })
        .collect()
}
