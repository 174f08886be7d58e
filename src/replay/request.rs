//! What is asked of a replay.

use crate::config::Config;
use crate::core::dead_letter::{ReplayCriteria, replay_group};

/// What is to be replayed, and how.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    pub criteria: ReplayCriteria,
    /// The most letters to replay.
    pub limit: Option<u64>,
    /// Begin with the oldest dead letter, however far the last replay came.
    pub from_beginning: bool,
    /// Publish to this topic instead of storing.
    pub to: Option<String>,
    /// Count, and do nothing else.
    pub dry_run: bool,
}

impl ReplayRequest {
    /// The group for which the progress is committed. Each reason has its own consumer group, because a
    /// replay of one reason passes over the letters of all others.
    pub(super) fn group(&self, config: &Config) -> String {
        replay_group(&config.kafka.group_id, self.criteria.reason)
    }
}
