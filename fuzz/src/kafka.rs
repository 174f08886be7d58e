//! The statistics of librdkafka, as the worker reads them.

#[path = "../../src/kafka/statistics.rs"]
mod statistics;
#[path = "../../src/kafka/topic.rs"]
mod topic;

use crate::core::partition::TopicId;
use topic::Topic;

/// Reads the statistics of the topic `orders`.
pub fn read_statistics(json: &[u8]) {
    let Ok(snapshot) = statistics::read(json, &Topic::new(TopicId::CONSUMED, "orders")) else {
        return;
    };
    assert!(snapshot.leaderless.is_sorted());
    assert!(
        snapshot
            .leaderless
            .iter()
            .all(|partition| partition.number >= 0)
    );
    for end in snapshot.end_offsets {
        assert!(end.partition.number >= 0);
        assert!(end.offset.0 >= 0);
        assert!(end.is_reached || !end.is_drained);
    }
}
