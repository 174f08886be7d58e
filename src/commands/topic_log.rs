//! What commands that set or use offsets need to know of the topic.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::LogBounds;
use crate::failure::Failure;
use crate::kafka::{PartitionState, TopicReader};

/// The topic's partitions, and the bounds of those that have a leader.
pub(super) struct TopicLog {
    pub partitions: Vec<TopicPartition>,
    pub bounds: BTreeMap<TopicPartition, LogBounds>,
}

impl TopicLog {
    pub(super) fn of(config: &Config, reader: &TopicReader) -> Result<Self, Failure> {
        let states = reader.partition_states()?.ok_or_else(|| {
            Failure::needs_operator(format!(
                "there is no topic `{}`: create it, or correct `kafka.topic`",
                config.kafka.topic
            ))
        })?;
        let number = |state: &PartitionState| state.partition;
        let led: Vec<TopicPartition> = states
            .iter()
            .filter(|state| state.has_leader)
            .map(number)
            .collect();
        Ok(Self {
            partitions: states.iter().map(number).collect(),
            bounds: reader.bounds_of(&led)?,
        })
    }
}
