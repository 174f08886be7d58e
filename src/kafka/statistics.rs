//! The few numbers that the worker reads from librdkafka's statistics.

use std::collections::HashMap;

use serde::Deserialize;

use super::topic::Topic;
use crate::core::end_offset::EndOffset;
use crate::core::partition::{Offset, TopicPartition};

/// What the statistics say about the consumed topic and the brokers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub end_offsets: Vec<EndOffset>,
    /// The partitions that this consumer reads and that have no leader, ascending.
    pub leaderless: Vec<TopicPartition>,
    pub any_broker_up: bool,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
    #[serde(default)]
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    #[serde(default = "unknown")]
    ls_offset: i64,
    /// The end at which the last fetch found nothing more.
    #[serde(default = "unknown")]
    eof_offset: i64,
    /// How many messages were fetched and not handed over yet.
    #[serde(default)]
    fetchq_cnt: u64,
    /// The leader's id; -1 without one.
    #[serde(default)]
    leader: i32,
    #[serde(default)]
    fetch_state: String,
    /// Whether this consumer reads the partition.
    #[serde(default)]
    desired: bool,
}

#[derive(Deserialize)]
struct Broker {
    #[serde(default)]
    state: String,
}

fn unknown() -> i64 {
    -1
}

pub(super) fn read(json: &[u8], topic: &Topic) -> Result<Snapshot, serde_json::Error> {
    let statistics: Statistics = serde_json::from_slice(json)?;
    let partitions = statistics
        .topics
        .get(&topic.name)
        .map(|topic| &topic.partitions);
    let mut leaderless: Vec<TopicPartition> = partitions
        .into_iter()
        .flat_map(HashMap::values)
        .filter(|partition| partition.partition >= 0 && partition.desired && partition.leader < 0)
        .map(|partition| topic.partition(partition.partition))
        .collect();
    leaderless.sort_unstable();
    let end_offsets = partitions
        .into_iter()
        .flat_map(HashMap::values)
        // Partition -1 is librdkafka's own. A negative offset means that the end isn't known yet.
        .filter(|partition| partition.partition >= 0 && partition.ls_offset >= 0)
        // The end comes with fetched messages. Where nothing is fetched, what was the end says nothing.
        .filter(|partition| partition.leader >= 0 && partition.fetch_state == "active")
        .map(|partition| EndOffset {
            partition: topic.partition(partition.partition),
            offset: Offset(partition.ls_offset),
            is_reached: partition.eof_offset >= partition.ls_offset,
            is_drained: partition.eof_offset >= partition.ls_offset && partition.fetchq_cnt == 0,
        })
        .collect();
    let any_broker_up = statistics
        .brokers
        .values()
        .any(|broker| broker.state == "UP");
    Ok(Snapshot {
        end_offsets,
        leaderless,
        any_broker_up,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::TopicId;

    #[test]
    fn ends_leaderless_partitions_and_connected_brokers_are_read_from_the_statistics() {
        let json = br#"{"name":"x","brokers":{"b:1/1":{"state":"UP"}},"topics":{
            "ours":{"partitions":{"0":{"partition":0,"ls_offset":17,"eof_offset":17,"fetchq_cnt":0,"fetch_state":"active"},
                                  "2":{"partition":2,"ls_offset":17,"fetch_state":"offset-query"},"-1":{"partition":-1,"ls_offset":9},
                                  "1":{"partition":1,"ls_offset":-1001,"leader":-1,"desired":true}}},
            "other":{"partitions":{"0":{"partition":0,"ls_offset":5}}}}}"#;
        let snapshot = read(json, &Topic::new(TopicId::CONSUMED, "ours")).expect("statistics");
        assert_eq!(
            snapshot.end_offsets,
            vec![EndOffset {
                partition: TopicPartition::consumed(0),
                offset: Offset(17),
                is_reached: true,
                is_drained: true,
            }]
        );
        assert_eq!(snapshot.leaderless, [TopicPartition::consumed(1)]);
        assert!(snapshot.any_broker_up);
    }
}
