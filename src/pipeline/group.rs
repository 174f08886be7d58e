//! What a rebalance does to the pipeline. Runs on the poller's thread, inside its poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};

use super::failure::Failure;
use super::gate::Gate;
use super::messages::{Drained, Event, Revoke, ToCommitter};
use super::stop::StopSignal;
use crate::core::assignment::Assignment;
use crate::core::partition::{Offset, Partition};
use crate::kafka::{Assigned, GroupEvents, KafkaError, is_authorization};
use crate::observe::health::Health;
use crate::observe::metrics::ConnectionTarget;
use crate::observe::metrics::MetricsCollector;
use crate::observe::metrics::RebalanceEvent;

/// What a revoke may take, in all well below `max.poll.interval.ms`.
#[derive(Debug, Clone, Copy)]
pub struct RevokeBudget {
    pub drain: Duration,
    pub commit: Duration,
}

pub struct Group {
    pub committer: Sender<ToCommitter>,
    pub supervisor: Sender<Event>,
    pub assignment: Arc<Assignment>,
    pub gate: Arc<Gate>,
    pub stop: StopSignal,
    pub metrics: Arc<MetricsCollector>,
    pub health: Arc<Health>,
    pub budget: RevokeBudget,
    pub topic: String,
}

impl RevokeBudget {
    /// Half of `max.poll.interval.ms` or the time for a stop, the smaller; of that the last fifth is
    /// for the commit.
    #[must_use]
    pub fn new(max_poll_interval: Duration, shutdown_timeout: Duration) -> Self {
        let whole = (max_poll_interval / 2).min(shutdown_timeout * 4 / 5);
        Self {
            drain: whole * 4 / 5,
            commit: whole / 5,
        }
    }
}

impl GroupEvents for Group {
    fn assigned(&self, assigned: &[Assigned]) {
        if !assigned.is_empty() {
            self.tell(ToCommitter::Assigned(assigned.to_vec()));
            self.metrics.increment_rebalances(RebalanceEvent::Assign);
            self.health.set_topic_exists(true);
        }
        self.show_assignment(&self.assignment.partitions());
    }

    fn revoke(&self, partitions: &[Partition]) {
        self.metrics.increment_rebalances(RebalanceEvent::Revoke);
        let started = Instant::now();
        // Nothing can be settled while records wait for MongoDB.
        let drain = if self.gate.is_holding() {
            Duration::ZERO
        } else {
            self.budget.drain
        };
        let mut drain_until = started + drain;
        if let Some(deadline) = self.stop.settle_by() {
            drain_until = drain_until.min(deadline);
        }
        let commit_until = drain_until.max(started) + self.budget.commit;
        // One answer is all that comes.
        let (done, drained) = bounded(1);
        self.tell(ToCommitter::Revoke(Revoke {
            partitions: partitions.to_vec(),
            drain_until,
            commit_until,
            done,
        }));
        match drained.recv_deadline(commit_until + Duration::from_secs(1)) {
            Ok(Drained {
                left: 0,
                is_committed: true,
            }) => {
                info!(partitions:? = partitions, millis = started.elapsed().as_millis();
                "revoked: drained and committed");
            }
            Ok(Drained { left, is_committed }) => {
                warn!(partitions:? = partitions, left, is_committed;
                    "revoked before all was settled and committed: the next owner reads the rest again");
            }
            Err(RecvTimeoutError::Timeout) => {
                warn!(partitions:? = partitions; "revoked before all could be committed");
            }
            Err(RecvTimeoutError::Disconnected) => {
                warn!(partitions:? = partitions; "revoked: nobody is left to commit");
            }
        }
        let rest: Vec<Partition> = self
            .assignment
            .partitions()
            .into_iter()
            .filter(|partition| !partitions.contains(partition))
            .collect();
        self.forget(partitions, &rest);
    }

    fn lost(&self, partitions: &[Partition]) {
        self.metrics.increment_rebalances(RebalanceEvent::Lost);
        warn!(partitions:? = partitions; "partitions were taken from us; their new owner reads on from the committed offsets");
        self.tell(ToCommitter::Lost(partitions.to_vec()));
        self.forget(partitions, &self.assignment.partitions());
    }

    fn skipped(&self, partition: Partition, from: Offset, to: Offset) {
        self.metrics.increment_offsets_skipped(to.since(from));
        error!(topic = self.topic, partition = partition.0, from = from.0, to = to.0, count = to.since(from);
            "retention has deleted records before this group read them; they are lost to it: \
             reading on from the earliest offset that is left");
    }

    fn readable(&self, readable: Vec<(Partition, Offset)>) {
        self.tell(ToCommitter::Readable(readable));
    }

    fn broker_up(&self, any: bool) {
        self.metrics.set_connected(ConnectionTarget::Kafka, any);
        self.health.set_kafka_reachable(any);
    }

    fn wait(&self, duration: Duration) -> bool {
        self.stop.wait(duration)
    }

    fn poll_interval_exceeded(&self) {
        self.metrics.increment_poll_interval_exceeded();
        warn!("`max.poll.interval.ms` was exceeded: the group has taken our partitions away");
    }

    fn failed(&self, error: KafkaError) {
        let why = format!("the group's offsets can't be read: {error}");
        let failure = if is_authorization(&error) {
            Failure::Running(why)
        } else {
            Failure::KafkaUnreachable(why)
        };
        // A full channel means that the supervisor has enough reasons to stop already.
        let _ = self.supervisor.try_send(Event::Failed(failure));
    }
}

impl Group {
    fn tell(&self, message: ToCommitter) {
        // A committer that is gone has ended the process already.
        let _ = self.committer.send(message);
    }

    fn forget(&self, partitions: &[Partition], left: &[Partition]) {
        for partition in partitions {
            self.metrics.forget_partition(&self.topic, partition.0);
        }
        self.show_assignment(left);
    }

    fn show_assignment(&self, partitions: &[Partition]) {
        self.metrics.set_assigned_partitions(partitions.len());
        self.health
            .set_assigned_partitions(partitions.iter().map(|partition| partition.0).collect());
    }
}
