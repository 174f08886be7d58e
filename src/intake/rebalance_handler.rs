//! Acts on what the consumer reports, above all on rebalances. Runs on the poller's thread, inside its poll.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use log::{error, info, warn};

use crate::commit::{CommitterHandle, CommitterMessage, Drained};
use crate::core::end_offset::EndOffset;
use crate::core::flood::RejectionCount;
use crate::core::leader_watch::LeaderWatch;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::time_limits::RevokeBudget;
use crate::failure::Failure;
use crate::kafka::{AssignedPartition, Assignment, RebalanceListener, StartError};
use crate::observe::health::Health;
use crate::observe::metrics::{ConnectionTarget, MetricsCollector, RebalanceEvent};
use crate::runtime::{ProcessEvents, StopSignal};
use crate::store::{FloodGuard, OutageTracker};

/// An election at a restart of a broker takes less.
pub const LEADERLESS_BOUND: Duration = Duration::from_secs(5);

/// How much longer than its deadline a revoke waits for the committer's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

pub struct RebalanceHandler {
    pub committer: CommitterHandle,
    pub events: ProcessEvents,
    pub assignment: Arc<Assignment>,
    pub outage: Arc<OutageTracker>,
    pub flood: Arc<FloodGuard>,
    pub stop: StopSignal,
    pub metrics: Arc<MetricsCollector>,
    /// Where lost messages are counted.
    pub losses: Arc<MetricsCollector>,
    pub health: Arc<Health>,
    pub budget: RevokeBudget,
    /// Behind a lock only because the client shares its listener.
    pub leaders: Mutex<LeaderWatch>,
    pub topic: String,
}

impl RebalanceListener for RebalanceHandler {
    fn rejections_counted(&self, assigned: &AssignedPartition, count: RejectionCount) {
        self.flood.restore(assigned, count);
    }

    fn assigned(&self, assigned: &[AssignedPartition]) {
        if !assigned.is_empty() {
            self.committer
                .send(CommitterMessage::Assigned(assigned.to_vec()));
            self.metrics.increment_rebalances(RebalanceEvent::Assign);
            self.health.set_topic_exists(true);
        }
        self.show_assignment(&self.assignment.partitions());
    }

    fn waiting_for_start(&self, partitions: &[TopicPartition]) {
        self.committer
            .send(CommitterMessage::WaitingForStart(partitions.to_vec()));
    }

    fn started(&self, started: &[AssignedPartition]) {
        if !started.is_empty() {
            self.committer
                .send(CommitterMessage::Assigned(started.to_vec()));
        }
    }

    fn leaderless(&self, partitions: &[TopicPartition]) {
        self.metrics.set_leaderless_partitions(partitions.len());
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        let news = leaders.look(Instant::now(), partitions);
        for (partition, lasts) in news.lost {
            warn!(topic = self.topic, partition = partition.number, seconds = lasts.as_secs();
                "a partition has no leader: nothing of it can be read until it has one");
        }
        let ours = self.assignment.partitions();
        for partition in news
            .back
            .iter()
            .filter(|partition| ours.contains(partition))
        {
            info!(topic = self.topic, partition = partition.number; "the partition has a leader again");
        }
    }

    fn recreated(&self, partitions: &[TopicPartition]) {
        let epochs = partitions.iter().filter_map(|&partition| {
            let (epoch, _) = self.assignment.current(partition)?;
            Some((partition, epoch))
        });
        self.committer
            .send(CommitterMessage::Recreated(epochs.collect()));
    }

    fn revoke(&self, partitions: &[TopicPartition]) {
        self.metrics.increment_rebalances(RebalanceEvent::Revoke);
        let started = Instant::now();
        let deadlines = self.budget.deadlines(
            started,
            !self.outage.makes_records_wait() && !self.flood.has_paused(),
            self.stop.settle_by(),
        );
        let drained = self.committer.drain(partitions.to_vec(), deadlines);
        match drained.recv_deadline(deadlines.commit_until + ANSWER_TIMEOUT) {
            Ok(Drained {
                unsettled: 0,
                is_committed: true,
            }) => {
                info!(topic = self.topic, partitions:? = partitions, millis = started.elapsed().as_millis();
                "revoked: drained and committed");
            }
            Ok(Drained {
                unsettled,
                is_committed,
            }) => {
                warn!(topic = self.topic, partitions:? = partitions, unsettled, is_committed;
                    "revoked before everything was settled and committed: the next owner reads the rest again");
            }
            Err(RecvTimeoutError::Timeout) => {
                warn!(topic = self.topic, partitions:? = partitions;
                    "revoked, but the committer has not answered in time: the next owner reads again what isn't committed");
            }
            Err(RecvTimeoutError::Disconnected) => {
                warn!(topic = self.topic, partitions:? = partitions;
                    "revoked, but the committer has ended: the next owner reads again what isn't committed");
            }
        }
        let rest: Vec<TopicPartition> = self
            .assignment
            .partitions()
            .into_iter()
            .filter(|partition| !partitions.contains(partition))
            .collect();
        self.show_assignment(&rest);
    }

    fn lost(&self, partitions: &[TopicPartition]) {
        self.metrics.increment_rebalances(RebalanceEvent::Lost);
        warn!(topic = self.topic, partitions:? = partitions; "partitions were taken from us; their new owner reads on from the committed offsets");
        self.committer
            .send(CommitterMessage::Lost(partitions.to_vec()));
        self.show_assignment(&self.assignment.partitions());
    }

    fn skipped(&self, partition: TopicPartition, from: Offset, to: Offset) {
        self.losses.increment_offsets_skipped(to.since(from));
        error!(topic = self.topic, partition = partition.number, from = from.0, to = to.0, count = to.since(from);
            "retention has deleted records before this group read them; they are lost to it: \
             reading on from the earliest offset that still exists");
    }

    fn log_reset(&self) {
        self.metrics.increment_log_resets();
    }

    fn end_offsets(&self, end_offsets: Vec<EndOffset>) {
        self.committer
            .send(CommitterMessage::EndOffsets(end_offsets));
    }

    fn broker_up(&self, any: bool) {
        self.metrics.set_connected(ConnectionTarget::Kafka, any);
        self.health.set_kafka_reachable(any);
    }

    fn poll_interval_exceeded(&self) {
        self.metrics.increment_poll_interval_exceeded();
        warn!("the poll loop was too slow: the group has taken our partitions away");
    }

    fn failed(&self, error: StartError) {
        let reading = "the group's offsets can't be read";
        self.events.failed(match error {
            StartError::Unauthorized(_) => {
                Failure::kafka_refused_worker(format!("Kafka refused the worker: {reading}"))
                    .because(error)
            }
            StartError::NoAnswer(_) => {
                Failure::kafka_unreachable().because(format!("{reading}: {error}"))
            }
        });
    }
}

impl RebalanceHandler {
    fn show_assignment(&self, partitions: &[TopicPartition]) {
        self.metrics.set_assigned_partitions(partitions.len());
        self.health.set_assigned_partitions(
            partitions
                .iter()
                .map(|partition| partition.number)
                .collect(),
        );
    }
}
