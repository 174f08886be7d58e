//! The rebalance: where each new assignment begins, and what a revoke asks of the worker. The callbacks run
//! on the thread that polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::assignment::{AssignedPartition, Assignment};
use super::errors::{KafkaError, is_about_a_connection, is_authorization};
use super::log::forward_log;
use super::queries::Queries;
use super::statistics;
use super::topic::Topic;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::{FirstStart, StartingOffset};

/// The longest wait for one answer about offsets.
const LONGEST_QUESTION: Duration = Duration::from_secs(10);

/// The wait before the offsets are asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What the consumer tells the worker. `revoke` and `wait` may take long. The other methods wait at most for room in
/// the committer's channel.
pub trait RebalanceListener: Send + Sync {
    /// Called before any record of these partitions is delivered. An empty list means that the process
    /// stands by, or keeps what it has.
    fn assigned(&self, assigned: &[AssignedPartition]);
    /// Drains and commits these partitions. Returns when that is done, or when its time is up.
    fn revoke(&self, partitions: &[TopicPartition]);
    /// These partitions were taken away: nothing may be committed for them.
    fn lost(&self, partitions: &[TopicPartition]);
    /// Retention has deleted the records from `from` up to `to` before the group read them.
    fn skipped(&self, partition: TopicPartition, from: Offset, to: Offset);
    /// How far each partition can be read at present.
    fn end_offsets(&self, end_offsets: Vec<(TopicPartition, Offset)>);
    /// Whether any broker is connected.
    fn broker_up(&self, any: bool);
    fn is_stopping(&self) -> bool;
    /// Waits, but no longer than until the process stops. Returns whether it stops.
    fn wait(&self, duration: Duration) -> bool;
    fn poll_interval_exceeded(&self);
    /// The group can't go on in this process.
    fn failed(&self, error: KafkaError);
}

pub(super) struct RebalanceContext {
    pub(super) topic: Topic,
    pub(super) first_start: FirstStart,
    /// How long the search for the starting offsets may take: well below `max.poll.interval.ms`.
    pub(super) time_limit: Duration,
    pub(super) assignment: Arc<Assignment>,
    pub(super) listener: Arc<dyn RebalanceListener>,
    /// While this is set, newly assigned partitions are paused too.
    pub(super) paused: AtomicBool,
    /// librdkafka has logged that it reset an offset.
    pub(super) offset_was_reset: AtomicBool,
    /// Why a connection failed last. Behind a lock, because the thread that asks whether Kafka can be reached
    /// is not always the one that polls.
    pub(super) connection_error: Mutex<Option<String>>,
}

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "OFFSET" && message.contains("offset reset") {
            self.offset_was_reset.store(true, Ordering::Relaxed);
        }
        forward_log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        match statistics::read(json, &self.topic) {
            Ok(snapshot) => {
                self.listener.broker_up(snapshot.any_broker_up);
                self.listener.end_offsets(snapshot.end_offsets);
            }
            Err(error) => warn!("can't read librdkafka's statistics: {error}"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) {
            self.listener.poll_interval_exceeded();
        }
        if is_about_a_connection(&error) {
            let mut last = self
                .connection_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last = Some(reason.to_owned());
        }
        // Errors that matter come through `poll` as well, and are judged there.
        debug!("librdkafka: {error}: {reason}");
    }
}

impl ConsumerContext for RebalanceContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions_of(&self.topic, list);
        let done = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, &partitions, list)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.revoke(consumer, &partitions, list)
            }
            other => {
                let code: RDKafkaErrorCode = other.into();
                warn!("rebalance failed: {code}");
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            warn!("the rebalance could not be completed: {error}");
        }
    }
}

impl RebalanceContext {
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
        list: &mut TopicPartitionList,
    ) -> ClientResult<()> {
        if partitions.is_empty() {
            // A standby has to be told of its empty assignment.
            self.listener.assigned(&[]);
        } else if self.listener.is_stopping() {
            // Nothing of it will be read, and a client that closes gets no answers any more.
            debug!("assigned while stopping: {partitions:?} are not read");
        } else {
            let begun = self
                .starting_offsets(consumer, partitions)
                .and_then(|starts| self.begin(&starts, list));
            // The list is assigned in any case: librdkafka waits for that. A stop may be why a question had
            // no answer.
            if let Err(error) = begun
                && !self.listener.is_stopping()
            {
                self.listener.failed(error.into());
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        if partitions.is_empty() {
            return Ok(());
        }
        // A pause outlives a revoke: a partition that was paused when it was revoked comes back paused.
        if self.paused.load(Ordering::Relaxed) {
            consumer.pause(list)
        } else {
            consumer.resume(list)
        }
    }

    fn begin(
        &self,
        starts: &[(TopicPartition, StartingOffset)],
        list: &mut TopicPartitionList,
    ) -> ClientResult<()> {
        let mut assigned = Vec::with_capacity(starts.len());
        for &(partition, start) in starts {
            self.report(partition, start);
            // Always set, also to the committed offset: without it librdkafka asks the group a second time, and
            // if that answer is an error the partition may never be read.
            let offset = KafkaOffset::Offset(start.offset().0);
            list.set_partition_offset(&self.topic.name, partition.number, offset)?;
            assigned.push(AssignedPartition {
                partition,
                epoch: self.assignment.begin(partition, start.offset()),
                start: start.offset(),
                committed: start.committed(),
            });
        }
        self.listener.assigned(&assigned);
        Ok(())
    }

    fn report(&self, partition: TopicPartition, start: StartingOffset) {
        match start {
            StartingOffset::Committed(offset) => {
                info!(partition = partition.number, offset = offset.0; "assigned: continues at the committed offset");
            }
            StartingOffset::First(offset) => {
                info!(partition = partition.number, offset = offset.0; "assigned: the group has no committed offset yet and begins here");
            }
            StartingOffset::Overtaken {
                committed,
                earliest,
            } => {
                self.listener.skipped(partition, committed, earliest);
            }
            StartingOffset::Recreated {
                committed,
                earliest,
            } => {
                error!(partition = partition.number, committed = committed.0, earliest = earliest.0;
                    "the committed offset lies beyond the log's end: the topic was recreated or truncated; \
                     reading from its earliest offset");
            }
        }
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
        list: &TopicPartitionList,
    ) -> ClientResult<()> {
        if consumer.assignment_lost() {
            for &partition in partitions {
                self.assignment.end(partition);
            }
            self.listener.lost(partitions);
        } else {
            if !partitions.is_empty() {
                self.listener.revoke(partitions);
            }
            for &partition in partitions {
                self.assignment.end(partition);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }

    /// Where each of `partitions` begins. Takes at most twice the time limit: an attempt may begin shortly before the
    /// limit, and takes no longer than it.
    fn starting_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
    ) -> ClientResult<Vec<(TopicPartition, StartingOffset)>> {
        let deadline = Instant::now() + self.time_limit;
        let mut attempt = 1;
        loop {
            let error = match self.ask_starting_offsets(consumer, partitions) {
                Ok(starts) => return Ok(starts),
                Err(error) => error,
            };
            // During a leader election brokers answer at once that they aren't ready: so the limit is a
            // time and not a number of attempts.
            let is_late = Instant::now() + ASK_AGAIN >= deadline;
            if is_late || is_authorization(&error) || self.listener.wait(ASK_AGAIN) {
                return Err(error);
            }
            warn!(attempt; "can't read the group's offsets, trying again: {error}");
            attempt += 1;
        }
    }

    fn ask_starting_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
    ) -> ClientResult<Vec<(TopicPartition, StartingOffset)>> {
        let queries = Queries {
            consumer,
            topic: &self.topic,
            timeout: LONGEST_QUESTION.min(self.time_limit / 3),
        };
        let committed = queries.committed(partitions)?;
        let bounds = queries.bounds(partitions)?;
        let starts = bounds.into_iter().map(|(partition, bounds)| {
            let committed = committed.get(&partition).copied();
            let start = StartingOffset::decide(committed, bounds, self.first_start);
            (partition, start)
        });
        Ok(starts.collect())
    }
}

fn partitions_of(topic: &Topic, list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| topic.partition(element.partition()))
        .collect()
}
