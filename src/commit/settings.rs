//! What the committer is told by the configuration.

use std::time::Duration;

use crate::config;
use crate::core::record::Weight;
use crate::runtime::PauseSwitch;

#[derive(Clone)]
pub struct CommitterSettings {
    /// What the names of the threads begin with, where a process has two committers.
    pub thread_prefix: &'static str,
    /// The most that may be in flight.
    pub in_flight_limit: Weight,
    /// A commit is due after this many settled records …
    pub commit_frequency: u64,
    /// … and after this time at the latest.
    pub commit_interval: Duration,
    /// A drain commits also where the offset has not moved, because commits carry more than the offset.
    pub repeats_at_drain: bool,
    /// A partition that has work and doesn't move for this long stands still.
    pub stalled_after: Duration,
    /// While an operator has paused the worker, records that wait in Kafka are no work.
    pub pause: PauseSwitch,
}

impl CommitterSettings {
    pub fn new(config: &config::Consumer, pause: PauseSwitch) -> Self {
        Self {
            thread_prefix: "",
            in_flight_limit: Weight {
                messages: config.max_in_flight_messages,
                bytes: config.max_in_flight_bytes,
            },
            commit_frequency: config.offset_commit_frequency,
            commit_interval: config.offset_commit_interval,
            repeats_at_drain: false,
            stalled_after: config.stalled_after,
            pause,
        }
    }
}
