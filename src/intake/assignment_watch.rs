//! Warns while the group gives no assignment.

use std::time::{Duration, Instant};

use log::warn;

use crate::kafka::KafkaConsumer;
use crate::observe::health::Health;

/// A warning is logged when the group has given no assignment for this long, and again after the same time.
const INTERVAL: Duration = Duration::from_secs(30);

pub struct AssignmentWatch {
    subscribed_at: Instant,
    /// How long after the subscription the next warning is due.
    next_warning: Duration,
}

impl AssignmentWatch {
    pub fn new(now: Instant) -> Self {
        Self {
            subscribed_at: now,
            next_warning: INTERVAL,
        }
    }

    /// The consumer has just subscribed.
    pub fn subscribed(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Logs the warning if it is due. An assignment without partitions is an assignment too.
    pub fn look(&mut self, consumer: &KafkaConsumer, health: &Health) {
        let waited = self.subscribed_at.elapsed();
        if waited < self.next_warning || health.has_assignment() {
            return;
        }
        self.next_warning = waited + INTERVAL;
        warn!(seconds = waited.as_secs();
            "the group has given no assignment yet, so nothing is read: {}",
            consumer.missing_assignment_hint());
    }
}
