//! What the worker's parts report, shown as metrics and health.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::commit::{CommitObserver, Outcome, Settlement};
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::{Timestamp, Weight};
use crate::core::stall::{Stalled, WaitsFor};
use crate::observe::board::StatusBoard;
use crate::observe::health::Health;
use crate::observe::metrics::{ConnectionTarget, MetricsCollector};
use crate::store::StoreObserver;

pub(super) struct WorkerObserver {
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    pub(super) board: Arc<StatusBoard>,
    pub(super) topic: String,
    /// How many inserts wait for MongoDB's answer.
    pub(super) inserts: AtomicUsize,
    /// How many writers wait for documents that MongoDB holds already.
    pub(super) read_backs: AtomicUsize,
    pub(super) is_collection_prepared: AtomicBool,
    /// The partitions that were last logged as not moving on.
    pub(super) stalled: Mutex<Vec<TopicPartition>>,
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

    fn batch_limit_changed(&self, messages: usize) {
        self.metrics.set_batch_limit(messages);
    }

    fn insert_begins(&self) {
        self.inserts.fetch_add(1, Ordering::Relaxed);
    }

    fn insert_took(&self, duration: Duration) {
        self.inserts.fetch_sub(1, Ordering::Relaxed);
        self.metrics.observe_mongodb_write_time(duration);
    }

    fn read_back_begins(&self) {
        self.read_backs.fetch_add(1, Ordering::Relaxed);
    }

    fn read_back_ended(&self) {
        self.read_backs.fetch_sub(1, Ordering::Relaxed);
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

    fn collection_prepared(&self) {
        self.is_collection_prepared.store(true, Ordering::Relaxed);
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
        if !settlement.written_at.is_empty() {
            let now = jiff::Timestamp::now();
            let delays = settlement.written_at.iter();
            self.metrics
                .observe_delivery_delays(delays.filter_map(|&written| age(written, now)));
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

    fn lag(&self, partition: TopicPartition, lag: u64, oldest: Option<Timestamp>) {
        let lag = i64::try_from(lag).unwrap_or(i64::MAX);
        let seconds = oldest.map_or(Some(0.0), |oldest| age(oldest, jiff::Timestamp::now()));
        self.metrics
            .set_lag(&self.topic, partition.number, lag, seconds);
        self.board.set_lag(partition.number, lag, seconds);
    }

    fn partition_in_flight(&self, partition: TopicPartition, records: usize) {
        self.board.set_in_flight(partition.number, count(records));
    }

    fn stalled(&self, stalled: &[Stalled]) {
        let partitions: Vec<TopicPartition> = stalled.iter().map(|s| s.partition).collect();
        self.metrics.set_stalled_partitions(partitions.len());
        let numbers = partitions.iter().map(|partition| partition.number);
        self.health.set_stalled_partitions(numbers.collect());
        let mut said = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        for stalled in stalled.iter().filter(|s| !said.contains(&s.partition)) {
            warn!(topic = self.topic, partition = stalled.partition.number,
                seconds = stalled.since.elapsed().as_secs();
                "a partition does not move on: {}", self.what_it_waits_for(stalled.waiting));
        }
        let moving: Vec<_> = said.iter().filter(|p| !partitions.contains(p)).collect();
        if !moving.is_empty() {
            info!(topic = self.topic, partitions:? = moving; "these partitions move on again, or are no longer ours");
        }
        *said = partitions;
    }

    fn forgotten(&self, partition: TopicPartition) {
        self.metrics.forget_partition(&self.topic, partition.number);
        self.board.forget(partition.number);
    }

    fn committed(&self, partition: TopicPartition, offset: Offset) {
        self.metrics
            .set_committed_offset(&self.topic, partition.number, offset.0);
        self.board.set_committed_offset(partition.number, offset.0);
    }

    fn commit_took(&self, duration: Duration) {
        self.metrics.observe_offset_commit_time(duration);
    }

    fn commit_failed(&self) {
        self.metrics.increment_offset_commit_failures();
    }
}

impl WorkerObserver {
    fn what_it_waits_for(&self, waiting: WaitsFor) -> String {
        let inserts = self.inserts.load(Ordering::Relaxed);
        let read_backs = self.read_backs.load(Ordering::Relaxed);
        let mongodb = match (inserts, read_backs) {
            (0, 0) => None,
            (0, read_backs) => Some(format!(
                "{read_backs} writers wait for documents that MongoDB holds already"
            )),
            (inserts, _) => Some(format!("{inserts} inserts wait for MongoDB's answer")),
        };
        match (waiting, mongodb) {
            (WaitsFor::Settlement, _) if self.health.is_paused_by_flood() => {
                "too many messages are rejected, and those in hand wait for the command `resume`".to_owned()
            }
            (WaitsFor::Settlement, _) if !self.health.is_mongodb_available() => {
                "its messages wait for MongoDB, which is unavailable".to_owned()
            }
            (WaitsFor::Settlement | WaitsFor::Records, _)
                if self.health.is_mongodb_available()
                    && !self.is_collection_prepared.load(Ordering::Relaxed) =>
            {
                "its messages wait until the collection is checked and MongoDB has built the unique indexes"
                    .to_owned()
            }
            (WaitsFor::Settlement, Some(mongodb)) => mongodb,
            (WaitsFor::Settlement, None) => {
                "its dead letters wait for Kafka's acknowledgement".to_owned()
            }
            (WaitsFor::Records, _) if !self.health.is_mongodb_available() => {
                "no message is taken off Kafka while MongoDB is unavailable".to_owned()
            }
            (WaitsFor::Records, Some(mongodb)) => {
                format!("no message of it is taken off Kafka; {mongodb}")
            }
            (WaitsFor::Records, None) => {
                "messages may wait in Kafka, and none arrives; see whether the partition has a leader".to_owned()
            }
            (WaitsFor::CommitAnswer, _) => {
                "everything is settled, and Kafka does not acknowledge the commit".to_owned()
            }
            (WaitsFor::Start, _) => {
                "its broker does not say where its log begins and ends (see whether the partition has a leader), or what \
                 was read of a topic that was recreated is not stored yet"
                    .to_owned()
            }
        }
    }
}

/// Seconds since a record was written. 0 if its time lies in the future, `None` if it has none.
fn age(written: Timestamp, now: jiff::Timestamp) -> Option<f64> {
    let age = now.duration_since(written.instant()?);
    Some(age.as_secs_f64().max(0.0))
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
