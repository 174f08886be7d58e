//! Kafka's administration: topics, partitions, settings, deletion.

use std::time::Duration;

use pollster::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::MetadataPartition;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::waiting::{self, MINUTE};

pub struct Admin {
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    pub fn new(kafka: &str) -> Self {
        let client = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .create()
            .unwrap();
        Self { client }
    }

    /// Creates a topic, and waits until a broker tells its clients of every partition and its leader: that comes
    /// a moment after the answer to the creation.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new = settings.iter().fold(
            NewTopic::new(topic, partitions, TopicReplication::Fixed(1)),
            |new, (name, value)| new.set(name, value),
        );
        let results = block_on(self.client.create_topics([&new], &options())).unwrap();
        for result in results {
            result.unwrap_or_else(|error| panic!("can't create a topic: {error:?}"));
        }
        self.wait_for_leaders(topic, usize::try_from(partitions).unwrap());
    }

    fn wait_for_leaders(&self, topic: &str, partitions: usize) {
        waiting::until("the new partitions have leaders", MINUTE, || {
            (self.partitions_with_leader(topic) == partitions).then_some(())
        });
    }

    fn partitions_with_leader(&self, topic: &str) -> usize {
        let metadata = self.client.inner().fetch_metadata(Some(topic), MINUTE);
        let metadata = metadata.unwrap();
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.map_or(&[][..], |found| found.partitions());
        let has_leader = |partition: &&MetadataPartition| partition.leader() >= 0;
        partitions.iter().filter(has_leader).count()
    }

    pub fn add_partitions(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let results = block_on(self.client.create_partitions([&new], &options())).unwrap();
        for result in results {
            result.unwrap();
        }
        self.wait_for_leaders(topic, partitions);
    }

    pub fn alter_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let altered = settings.iter().fold(
            AlterConfig::new(ResourceSpecifier::Topic(topic)),
            |altered, (name, value)| altered.set(name, value),
        );
        let results = block_on(self.client.alter_configs([&altered], &options())).unwrap();
        for result in results {
            result.unwrap();
        }
    }

    /// Deletes topics; those that don't exist are fine.
    pub fn delete_topics(&self, topics: &[&str]) {
        // Errors don't matter: a topic that stays disturbs no other test.
        let _ = block_on(self.client.delete_topics(topics, &options()));
    }

    /// Deletes the records before `offset`, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        let deleted = block_on(self.client.delete_records(&list, &options())).unwrap();
        for element in deleted.elements() {
            element.error().unwrap();
        }
    }
}

fn options() -> AdminOptions {
    let timeout = Some(Duration::from_secs(30));
    AdminOptions::new()
        .operation_timeout(timeout)
        .request_timeout(timeout)
}
