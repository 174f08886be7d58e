//! Puts the worker's status together: from the metrics, the health, the log, and what the worker knows of its
//! partitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::health::{Health, Readiness};
use super::log::recent_problems;
use super::metrics::MetricsCollector;
use super::status::{
    FORMAT, Identity, InFlight, OutageReplay, PartitionStatus, Resources, Status, time_text,
};

/// Shared by the threads that know the partitions, and those that show the status.
pub struct StatusBoard {
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    started: (Timestamp, Instant),
    fixed: Fixed,
    /// What is known of each partition, ascending.
    partitions: Mutex<BTreeMap<i32, Known>>,
}

/// What the configuration says.
#[derive(Debug, Default)]
pub struct Fixed {
    pub worker: Identity,
    pub max_messages: u64,
    pub max_bytes: u64,
    pub memory_limit: Option<u64>,
    pub memory_worst_case: Option<u64>,
    /// Whether dead letters of an outage are stored afterwards.
    pub replays_after_outage: bool,
}

#[derive(Debug, Default)]
struct Known {
    committed_offset: Option<i64>,
    in_flight: u64,
    lag: Option<i64>,
    lag_seconds: Option<f64>,
}

impl StatusBoard {
    pub fn new(metrics: Arc<MetricsCollector>, health: Arc<Health>, fixed: Fixed) -> Self {
        Self {
            metrics,
            health,
            started: (Timestamp::now(), Instant::now()),
            fixed,
            partitions: Mutex::default(),
        }
    }

    pub fn set_lag(&self, partition: i32, lag: i64, seconds: Option<f64>) {
        let mut partitions = self.partitions();
        let known = partitions.entry(partition).or_default();
        known.lag = Some(lag);
        known.lag_seconds = seconds;
    }

    pub fn set_in_flight(&self, partition: i32, messages: u64) {
        self.partitions().entry(partition).or_default().in_flight = messages;
    }

    pub fn set_committed_offset(&self, partition: i32, offset: i64) {
        let mut partitions = self.partitions();
        partitions.entry(partition).or_default().committed_offset = Some(offset);
    }

    /// The partition is no longer read by this process.
    pub fn forget(&self, partition: i32) {
        self.partitions().remove(&partition);
    }

    pub fn status(&self) -> Status {
        let condition = self.health.condition();
        let readiness = condition.readiness;
        let (started_at, started) = self.started;
        let in_flight = self.metrics.in_flight();
        let partitions = self.partition_statuses(&readiness);
        Status {
            format: FORMAT,
            worker: self.fixed.worker.clone(),
            now: time_text(Timestamp::now()),
            started_at: time_text(started_at),
            uptime_seconds: started.elapsed().as_secs_f64(),
            state: condition.state,
            state_since: time_text(condition.state_since),
            alive: self.health.liveness(Instant::now()).is_alive(),
            ready: readiness.ready,
            reasons: readiness.reasons.iter().map(ToString::to_string).collect(),
            pause: condition.pause,
            kafka: condition.kafka,
            mongodb: condition.mongodb,
            partitions,
            outage_replay: self.outage_replay(),
            in_flight: InFlight {
                messages: in_flight.messages,
                bytes: in_flight.bytes,
                oldest_seconds: in_flight.oldest_seconds,
                max_messages: self.fixed.max_messages,
                max_bytes: self.fixed.max_bytes,
            },
            writers: self.metrics.writers(),
            totals: self.metrics.totals(),
            measurements: self.metrics.measurements(),
            resources: Resources {
                memory_limit_bytes: self.fixed.memory_limit,
                memory_worst_case_bytes: self.fixed.memory_worst_case,
                ..self.metrics.resources()
            },
            problems: recent_problems(),
        }
    }

    /// `None` if no dead letters of an outage are stored afterwards.
    pub(super) fn outage_replay(&self) -> Option<OutageReplay> {
        self.fixed
            .replays_after_outage
            .then(|| self.metrics.outage_replay())
    }

    /// The status in one line, for a process list.
    pub fn line(&self) -> String {
        let condition = self.health.condition();
        let state = condition.state.words();
        let Some(assigned) = condition.readiness.assigned_partitions else {
            return state.to_owned();
        };
        let lag: i64 = self
            .partitions()
            .values()
            .filter_map(|known| known.lag)
            .sum();
        let stored = self.metrics.totals().stored;
        format!(
            "{state}; {} partitions, lag {lag}, {stored} stored",
            assigned.len()
        )
    }

    fn partition_statuses(&self, readiness: &Readiness) -> Option<Vec<PartitionStatus>> {
        let partitions = self.partitions();
        let status = |&number: &i32| {
            let known = partitions.get(&number);
            PartitionStatus {
                partition: number,
                committed_offset: known.and_then(|known| known.committed_offset),
                in_flight: known.map_or(0, |known| known.in_flight),
                lag: known.and_then(|known| known.lag),
                lag_seconds: known.and_then(|known| known.lag_seconds),
                stalled: readiness.stalled_partitions.contains(&number),
            }
        };
        let assigned = readiness.assigned_partitions.as_ref()?;
        Some(assigned.iter().map(status).collect())
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, Known>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
