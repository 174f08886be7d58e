//! What the worker's parts report, shown as metrics and health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::commit::{CommitObserver, Outcome, Settlement};
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::Weight;
use crate::observe::health::Health;
use crate::observe::metrics::{ConnectionTarget, MetricsCollector};
use crate::store::StoreObserver;

pub(super) struct WorkerObserver {
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    pub(super) topic: String,
}

impl StoreObserver for WorkerObserver {
    fn writer_started(&self) {
        self.metrics.increment_writers_busy();
    }

    fn writer_finished(&self) {
        self.metrics.decrement_writers_busy();
    }

    fn batch_started(&self, records: usize) {
        self.metrics.observe_batch_size(records);
    }

    fn insert_took(&self, duration: Duration) {
        self.metrics.observe_mongodb_write_time(duration);
    }

    fn insert_retried(&self) {
        self.metrics.increment_mongodb_retries();
    }

    fn mongodb_available(&self, available: bool) {
        self.metrics
            .set_connected(ConnectionTarget::Mongodb, available);
        self.metrics.set_mongodb_available(available);
        self.health.set_mongodb_available(available);
    }
}

impl CommitObserver for WorkerObserver {
    fn dispatched(&self, weight: Weight, in_flight: Weight) {
        self.metrics
            .increment_messages_consumed(count(weight.messages));
        self.in_flight_changed(in_flight);
    }

    fn settled(&self, settlement: &Settlement) {
        let messages = settlement.weight.messages;
        let count = count(messages);
        self.metrics.increment_messages_processed(count);
        match settlement.outcome {
            Outcome::Stored => self.metrics.increment_messages_stored(count),
            Outcome::AlreadyStored => self.metrics.increment_messages_already_stored(count),
            Outcome::DeadLettered(reason) => {
                self.metrics
                    .increment_processing_errors(reason.as_str(), count);
                self.metrics.increment_dead_letters(reason.as_str(), count);
            }
            // Only a replay publishes.
            Outcome::Published => {}
        }
        let elapsed = settlement.taken_at.elapsed();
        self.metrics
            .observe_processing_times(elapsed.as_secs_f64(), messages);
    }

    fn in_flight_changed(&self, in_flight: Weight) {
        self.metrics.set_in_flight_messages(in_flight.messages);
        self.metrics.set_in_flight_bytes(in_flight.bytes);
    }

    fn oldest_in_flight(&self, taken_at: Option<Instant>) {
        self.metrics.set_oldest_in_flight_since(taken_at);
    }

    fn lag(&self, partition: TopicPartition, lag: u64) {
        let lag = i64::try_from(lag).unwrap_or(i64::MAX);
        self.metrics.set_lag(&self.topic, partition.number, lag);
    }

    fn committed(&self, partition: TopicPartition, offset: Offset) {
        self.metrics
            .set_committed_offset(&self.topic, partition.number, offset.0);
    }

    fn commit_took(&self, duration: Duration) {
        self.metrics.observe_offset_commit_time(duration);
    }

    fn commit_failed(&self) {
        self.metrics.increment_offset_commit_failures();
    }
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
