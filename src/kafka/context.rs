//! The group's side of the consumer: where each new assignment begins, and what a rebalance asks of
//! the pipeline. Its callbacks run on the thread that polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::problem::is_authorization;
use super::statistics;
use crate::core::assignment::Assignment;
use crate::core::partition::{Epoch, Offset, Partition};
use crate::core::start::{FirstStart, LogBounds, Start};

/// The longest that one question about offsets may take.
const LONGEST_QUESTION: Duration = Duration::from_secs(10);

/// The wait before they are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A partition that is ours from now on.
#[derive(Debug, Clone, Copy)]
pub struct Assigned {
    pub partition: Partition,
    pub epoch: Epoch,
    pub start: Offset,
    /// What the group has committed; `None` where a commit of `start` is due at once.
    pub committed: Option<Offset>,
}

/// What the consumer tells the pipeline. All but `revoke` return at once.
pub trait GroupEvents: Send + Sync {
    /// Called before any record of these partitions is delivered; without any, the process stands by, or
    /// keeps what it has.
    fn assigned(&self, assigned: &[Assigned]);
    /// Drains and commits these partitions; returns when that is done, or its time is up.
    fn revoke(&self, partitions: &[Partition]);
    /// These were taken from us: nothing may be committed for them.
    fn lost(&self, partitions: &[Partition]);
    /// Retention has overtaken the group: `count` offsets will never be read.
    fn skipped(&self, partition: Partition, from: Offset, to: Offset);
    /// Up to where each partition can be read.
    fn readable(&self, readable: Vec<(Partition, Offset)>);
    fn broker_up(&self, any: bool);
    /// Waits, but no longer than until the process stops; says whether it does.
    fn wait(&self, duration: Duration) -> bool;
    fn poll_interval_exceeded(&self);
    /// The group can't go on in this process.
    fn failed(&self, error: KafkaError);
}

pub(super) struct GroupContext {
    pub(super) topic: String,
    pub(super) first_start: FirstStart,
    /// What finding out where to begin may take, well below `max.poll.interval.ms`.
    pub(super) patience: Duration,
    pub(super) assignment: Arc<Assignment>,
    pub(super) events: Arc<dyn GroupEvents>,
    /// New partitions are paused too while this is set.
    pub(super) paused: AtomicBool,
    /// librdkafka has said that it reset an offset; the next gap is looked at.
    pub(super) offset_was_reset: AtomicBool,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "OFFSET" && message.contains("offset reset") {
            self.offset_was_reset.store(true, Ordering::Relaxed);
        }
        forward_log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        match statistics::read(json, &self.topic) {
            Ok(snapshot) => {
                self.events.broker_up(snapshot.any_broker_up);
                self.events.readable(snapshot.readable);
            }
            Err(error) => warn!("can't read librdkafka's statistics: {error}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) {
            self.events.poll_interval_exceeded();
        }
        // What matters of it comes through `poll` as well, and is judged there.
        debug!("librdkafka: {error}: {reason}");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions_of(list);
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

impl GroupContext {
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[Partition],
        list: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        if partitions.is_empty() {
            // A standby is told so, too.
            self.events.assigned(&[]);
        } else {
            let begun = self
                .starts(consumer, partitions)
                .and_then(|starts| self.begin(&starts, list));
            // The list is assigned all the same: librdkafka waits for that.
            if let Err(error) = begun {
                self.events.failed(error);
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        if partitions.is_empty() {
            return Ok(());
        }
        // A pause outlives a revoke: what was paused when it left comes back paused.
        if self.paused.load(Ordering::Relaxed) {
            consumer.pause(list)
        } else {
            consumer.resume(list)
        }
    }

    fn begin(
        &self,
        starts: &[(Partition, Start)],
        list: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        let mut assigned = Vec::with_capacity(starts.len());
        for &(partition, start) in starts {
            self.report(partition, start);
            if !matches!(start, Start::Committed(_)) {
                let offset = KafkaOffset::Offset(start.offset().0);
                list.set_partition_offset(&self.topic, partition.0, offset)?;
            }
            assigned.push(Assigned {
                partition,
                epoch: self.assignment.begin(partition, start.offset()),
                start: start.offset(),
                committed: start.committed(),
            });
        }
        self.events.assigned(&assigned);
        Ok(())
    }

    fn report(&self, partition: Partition, start: Start) {
        match start {
            Start::Committed(offset) => {
                info!(partition = partition.0, offset = offset.0; "assigned: goes on at the committed offset");
            }
            Start::First(offset) => {
                info!(partition = partition.0, offset = offset.0; "assigned: the group begins here");
            }
            Start::Overtaken {
                committed,
                earliest,
            } => {
                self.events.skipped(partition, committed, earliest);
            }
            Start::Recreated {
                committed,
                earliest,
            } => {
                error!(partition = partition.0, committed = committed.0, earliest = earliest.0;
                    "the committed offset lies beyond the log's end: the topic was made anew or cut; \
                     reading from its earliest offset");
            }
        }
    }

    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[Partition],
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
        if consumer.assignment_lost() {
            for &partition in partitions {
                self.assignment.end(partition);
            }
            self.events.lost(partitions);
        } else {
            if !partitions.is_empty() {
                self.events.revoke(partitions);
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

    /// Where each of `partitions` begins. Bounded by the patience, and one question more.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[Partition],
    ) -> KafkaResult<Vec<(Partition, Start)>> {
        let deadline = Instant::now() + self.patience;
        let mut attempt = 1;
        loop {
            let error = match self.ask_starts(consumer, partitions) {
                Ok(starts) => return Ok(starts),
                Err(error) => error,
            };
            // A leader election answers at once that it isn't through: it is given time, not attempts.
            let is_late = Instant::now() + ASK_AGAIN >= deadline;
            if is_late || is_authorization(&error) || self.events.wait(ASK_AGAIN) {
                return Err(error);
            }
            warn!(attempt; "can't read the group's offsets, trying again: {error}");
            attempt += 1;
        }
    }

    fn ask_starts(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[Partition],
    ) -> KafkaResult<Vec<(Partition, Start)>> {
        let list = |offset: KafkaOffset| -> KafkaResult<TopicPartitionList> {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                list.add_partition_offset(&self.topic, partition.0, offset)?;
            }
            Ok(list)
        };
        let timeout = LONGEST_QUESTION.min(self.patience / 3);
        let committed = consumer.committed_offsets(list(KafkaOffset::Invalid)?, timeout)?;
        // For this request librdkafka takes the two special offsets as the log's ends: one request a
        // broker, where `fetch_watermarks` is one a partition.
        let earliest = consumer.offsets_for_times(list(KafkaOffset::Beginning)?, timeout)?;
        let latest = consumer.offsets_for_times(list(KafkaOffset::End)?, timeout)?;
        let find =
            |list: &TopicPartitionList, partition: Partition| -> KafkaResult<Option<Offset>> {
                let Some(element) = list.find_partition(&self.topic, partition.0) else {
                    return Ok(None);
                };
                element.error()?;
                Ok(match element.offset() {
                    KafkaOffset::Offset(offset) => Some(Offset(offset)),
                    _ => None,
                })
            };
        let missing = || KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset);
        partitions
            .iter()
            .map(|&partition| {
                let bounds = LogBounds {
                    earliest: find(&earliest, partition)?.ok_or_else(missing)?,
                    latest: find(&latest, partition)?.ok_or_else(missing)?,
                };
                let committed = find(&committed, partition)?;
                Ok((
                    partition,
                    Start::decide(committed, bounds, self.first_start),
                ))
            })
            .collect()
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements()
        .iter()
        .map(|element| Partition(element.partition()))
        .collect()
}

/// librdkafka's own lines, under its name.
pub(super) fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let level = match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        // What librdkafka calls an error it recovers from by itself; what it can't comes by `poll`.
        | RDKafkaLogLevel::Warning => log::Level::Warn,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => log::Level::Info,
        RDKafkaLogLevel::Debug => log::Level::Debug,
    };
    log::log!(target: "librdkafka", level, "{facility}: {message}");
}
