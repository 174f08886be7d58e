//! All metrics of the worker. No label value ever comes from a message.

mod families;
mod register;
mod report;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Registry, TextEncoder};

use families::Families;

use crate::observe::log::dropped_lines;

/// The label `target` of `consumer_active_connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionTarget {
    Kafka,
    Mongodb,
}

/// What happened to partitions in a rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceEvent {
    Assign,
    Revoke,
    /// The partitions were lost without a revoke: another member may already read them.
    Lost,
}

/// Collects the metrics and renders them as text. All threads share it. Most methods are one or a few
/// atomic operations; those with a partition also look up its series.
pub struct MetricsCollector {
    port: u16,
    registry: Registry,
    families: Families,
    /// The number of waiting dead letters was set.
    knows_waiting_letters: AtomicBool,
    /// Stored as an instant and turned into an age at each scrape. If a thread had to update an age, the
    /// age would stop growing when that thread hangs, which is what it must show. A mutex, because an
    /// `Instant` doesn't fit in an atomic; it is locked once per batch and per scrape.
    oldest_in_flight_since: Mutex<Option<Instant>>,
    /// Held while the counter of dropped log lines is brought up to date at a scrape.
    counting_log_lines: Mutex<()>,
}

impl MetricsCollector {
    /// `port` is the port to serve the metrics on; the HTTP server asks for it. `reasons` are all values
    /// of the label `reason`.
    pub fn new(port: u16, reasons: &[&'static str]) -> Self {
        let registry = Registry::new();
        let collector = Self {
            port,
            families: Families::new(&registry, reasons),
            oldest_in_flight_since: Mutex::new(None),
            counting_log_lines: Mutex::new(()),
            knows_waiting_letters: AtomicBool::new(false),
            registry,
        };
        collector.register_process_metrics();
        collector.set_last_reload_successful(true);
        collector
    }

    /// Registers the `process_*` metrics: CPU seconds, memory, descriptors, threads.
    #[cfg(target_os = "linux")]
    fn register_process_metrics(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry
            .register(Box::new(process))
            .expect("invariant: no other metric has a name with `process_`");
    }

    #[cfg(not(target_os = "linux"))]
    fn register_process_metrics(&self) {}

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Counts settled messages.
    pub fn increment_messages_processed(&self, count: u64) {
        self.families.messages_processed.inc_by(count);
    }

    /// Counts messages that can't be stored. A reason that was not passed to `new` counts as `other`.
    pub fn increment_processing_errors(&self, reason: &str, count: u64) {
        self.families.processing_errors.add(reason, count);
    }

    /// Records the seconds from the moment a message was taken off Kafka until it was settled.
    pub fn observe_processing_time(&self, seconds: f64) {
        self.families.processing_time.observe(seconds);
    }

    /// Like `observe_processing_time`, for `count` messages with the same time. Updates the shared
    /// histogram only once.
    pub fn observe_processing_times(&self, seconds: f64, count: usize) {
        let local = self.families.processing_time.local();
        for _ in 0..count {
            local.observe(seconds);
        }
        local.flush();
    }

    /// Records the number of messages in a batch.
    pub fn observe_batch_size(&self, size: usize) {
        self.families
            .batch_size
            .observe(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
    }

    /// Shows how many messages a batch may have from now on.
    pub fn set_batch_limit(&self, messages: usize) {
        self.families.batch_limit.set(gauge_value(messages));
    }

    pub fn observe_mongodb_write_time(&self, duration: Duration) {
        self.families
            .mongodb_write_time
            .observe(duration.as_secs_f64());
    }

    pub fn observe_offset_commit_time(&self, duration: Duration) {
        self.families
            .offset_commit_time
            .observe(duration.as_secs_f64());
    }

    pub fn set_connected(&self, target: ConnectionTarget, connected: bool) {
        match target {
            ConnectionTarget::Kafka => self.families.connection_kafka.set(i64::from(connected)),
            ConnectionTarget::Mongodb => self.families.connection_mongodb.set(i64::from(connected)),
        }
    }

    /// A negative lag is shown as 0. The lag is negative if the known end of the partition is outdated. `seconds` is
    /// the age of the oldest message that isn't committed, where it is known.
    pub fn set_lag(&self, topic: &str, partition: i32, lag: i64, seconds: Option<f64>) {
        let labels = [topic, &partition.to_string()];
        self.families.lag.with_label_values(&labels).set(lag.max(0));
        if let Some(seconds) = seconds {
            let family = &self.families.lag_seconds;
            family.with_label_values(&labels).set(seconds);
        }
    }

    /// Records the seconds from a message's timestamp until it was stored. Updates the shared histogram only once.
    pub fn observe_delivery_delays(&self, seconds: impl Iterator<Item = f64>) {
        let local = self.families.delivery_delay.local();
        seconds.for_each(|seconds| local.observe(seconds));
        local.flush();
    }

    /// Names this process, so that other series can be joined with these labels.
    pub fn set_info(&self, group: &str, topic: &str, instance: &str) {
        let labels = [group, topic, instance, env!("CARGO_PKG_VERSION")];
        self.families.info.with_label_values(&labels).set(1);
    }

    pub fn set_committed_offset(&self, topic: &str, partition: i32, offset: i64) {
        self.families
            .committed_offset
            .with_label_values(&[topic, &partition.to_string()])
            .set(offset);
    }

    /// Removes the series of a partition that this process no longer reads.
    pub fn forget_partition(&self, topic: &str, partition: i32) {
        let partition = partition.to_string();
        for family in [&self.families.lag, &self.families.committed_offset] {
            // The only possible error is that there is no such series.
            let _ = family.remove_label_values(&[topic, &partition]);
        }
        let lag_seconds = &self.families.lag_seconds;
        let _ = lag_seconds.remove_label_values(&[topic, &partition]);
    }

    pub fn increment_messages_consumed(&self, count: u64) {
        self.families.messages_consumed.inc_by(count);
    }

    /// How many messages were taken off the topic.
    pub fn messages_consumed(&self) -> u64 {
        self.families.messages_consumed.get()
    }

    pub fn increment_messages_stored(&self, count: u64) {
        self.families.messages_stored.inc_by(count);
    }

    /// Counts messages that MongoDB already had, identical: `consumer_messages_replayed_total`.
    pub fn increment_messages_already_stored(&self, count: u64) {
        self.families.messages_already_stored.inc_by(count);
    }

    /// Counts dead letters that Kafka acknowledged. A reason that was not passed to `new` counts as
    /// `other`.
    pub fn increment_dead_letters(&self, reason: &str, count: u64) {
        self.families.dead_letters.add(reason, count);
    }

    pub fn set_in_flight_messages(&self, messages: usize) {
        self.families.in_flight_messages.set(gauge_value(messages));
    }

    pub fn set_in_flight_bytes(&self, bytes: usize) {
        self.families.in_flight_bytes.set(gauge_value(bytes));
    }

    /// Sets when the oldest unsettled message was taken off Kafka. Its age is calculated at each scrape.
    pub fn set_oldest_in_flight_since(&self, taken_at: Option<Instant>) {
        *self
            .oldest_in_flight_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = taken_at;
    }

    fn oldest_in_flight(&self) -> Duration {
        let oldest = *self
            .oldest_in_flight_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        oldest.map_or(Duration::ZERO, |taken_at| taken_at.elapsed())
    }

    /// A writer took a batch up.
    pub fn increment_writers_busy(&self) {
        self.families.writers_busy.inc();
    }

    /// A writer is done with its batch.
    pub fn decrement_writers_busy(&self) {
        self.families.writers_busy.dec();
    }

    pub fn set_writer_threads(&self, threads: usize) {
        self.families.writer_threads.set(gauge_value(threads));
    }

    pub fn increment_mongodb_retries(&self) {
        self.families.mongodb_retries.inc();
    }

    pub fn increment_offset_commit_failures(&self) {
        self.families.offset_commit_failures.inc();
    }

    pub fn increment_rebalances(&self, event: RebalanceEvent) {
        match event {
            RebalanceEvent::Assign => self.families.rebalances_assign.inc(),
            RebalanceEvent::Revoke => self.families.rebalances_revoke.inc(),
            RebalanceEvent::Lost => self.families.rebalances_lost.inc(),
        }
    }

    pub fn set_assigned_partitions(&self, partitions: usize) {
        self.families
            .assigned_partitions
            .set(gauge_value(partitions));
    }

    pub fn set_leaderless_partitions(&self, partitions: usize) {
        let gauge = &self.families.leaderless_partitions;
        gauge.set(gauge_value(partitions));
    }

    pub fn set_stalled_partitions(&self, partitions: usize) {
        let gauge = &self.families.stalled_partitions;
        gauge.set(gauge_value(partitions));
    }

    pub fn increment_offsets_skipped(&self, count: u64) {
        self.families.offsets_skipped.inc_by(count);
    }

    /// A partition's log was recreated or truncated.
    pub fn increment_log_resets(&self) {
        self.families.log_resets.inc();
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.families.ready.set(i64::from(ready));
    }

    /// Bytes; `None` if the container sets no limit.
    pub fn set_memory(&self, limit: Option<u64>, worst_case: u64) {
        let gauge_value = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.families
            .memory_limit
            .set(gauge_value(limit.unwrap_or_default()));
        self.families.memory_worst_case.set(gauge_value(worst_case));
    }

    pub fn set_last_reload_successful(&self, successful: bool) {
        self.families
            .last_reload_successful
            .set(i64::from(successful));
    }

    /// The worker stores the dead letters of an outage afterwards.
    pub fn set_replay_enabled(&self) {
        self.families.replay_enabled.set(1);
    }

    /// Offsets of the dead letter topic that the replay after an outage has still to look at or to settle.
    pub fn set_letters_waiting(&self, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.families.letters_waiting.set(count);
        self.knows_waiting_letters.store(true, Ordering::Relaxed);
    }

    /// Counts dead letters of an outage that are stored now.
    pub fn increment_letters_brought_home(&self, count: u64) {
        self.families.letters_brought_home.inc_by(count);
    }

    /// Counts dead letters of an outage that became dead letters again.
    pub fn increment_letters_refused_again(&self, count: u64) {
        self.families.letters_refused_again.inc_by(count);
    }

    pub fn increment_poll_interval_exceeded(&self) {
        self.families.poll_interval_exceeded.inc();
    }

    pub fn set_mongodb_available(&self, available: bool) {
        self.families.mongodb_available.set(i64::from(available));
    }

    pub fn set_paused(&self, paused: bool) {
        self.families.paused.set(i64::from(paused));
    }

    pub fn set_paused_by_flood(&self, paused: bool) {
        self.families.paused_by_flood.set(i64::from(paused));
    }

    pub fn set_paused_by_operator(&self, paused: bool) {
        self.families.paused_by_operator.set(i64::from(paused));
    }

    /// Shows all lines that the log has dropped since the process started.
    fn show_log_lines_dropped(&self, dropped: u64) {
        let counter = &self.families.log_lines_dropped;
        // Two scrapes at once may both count the same lines, so they come one after the other.
        let _one_at_a_time = self.counting_log_lines.lock();
        counter.inc_by(dropped.saturating_sub(counter.get()));
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        self.families
            .oldest_in_flight
            .set(self.oldest_in_flight().as_secs_f64());
        self.show_log_lines_dropped(dropped_lines());

        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            // The lines encoded before the error are complete, so they are still served.
            log::error!("the metrics page is incomplete: {error}");
        }
        text
    }
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
