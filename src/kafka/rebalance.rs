//! The rebalance: where each new assignment begins, and what a revoke asks of the worker. The callbacks run
//! on the thread that polls.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{debug, error, info, warn};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::assignment::{AssignedPartition, Assignment};
use super::errors::{connection_advice, is_about_a_connection, without_secrets};
use super::first_starts::FirstStarts;
use super::iam;
use super::log::{LogSigns, forward_log};
use super::rebalance_listener::{RebalanceListener, StartError};
use super::starting_offsets::{Search, Starts};
use super::statistics;
use super::topic::Topic;
use super::topic_ids::TopicIds;
use crate::core::end_offset::EndOffset;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::StartingOffset;
use crate::runtime::StopSignal;

pub(super) struct RebalanceContext {
    pub(super) topic: Topic,
    pub(super) first_starts: FirstStarts,
    pub(super) topic_ids: TopicIds,
    /// How long the search for the starting offsets may take: well below `max.poll.interval.ms`.
    pub(super) time_limit: Duration,
    pub(super) assignment: Arc<Assignment>,
    pub(super) listener: Arc<dyn RebalanceListener>,
    pub(super) stop: StopSignal,
    /// While this is set, newly assigned partitions are paused too.
    pub(super) paused: AtomicBool,
    pub(super) log_signs: LogSigns,
    /// The ends of the logs, as last reported. Behind a lock only because the client shares its context.
    pub(super) ends: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// Why a connection failed last. Behind a lock, because the thread that asks whether Kafka can be reached
    /// is not always the one that polls.
    pub(super) connection_error: Mutex<Option<String>>,
}

impl ClientContext for RebalanceContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log_signs.read(facility, message, &self.topic.name);
        forward_log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        match statistics::read(json, &self.topic) {
            Ok(snapshot) => {
                self.listener.broker_up(snapshot.any_broker_up);
                // While nothing is fetched, the ends in the statistics are old.
                if !self.paused.load(Ordering::Relaxed) {
                    self.note_ends(&snapshot.end_offsets);
                    self.listener.end_offsets(snapshot.end_offsets);
                }
                self.listener.leaderless(&snapshot.leaderless);
            }
            Err(error) => warn!("can't read librdkafka's statistics: {error}"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        let reason = without_secrets(reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) {
            self.listener.poll_interval_exceeded();
        }
        if is_about_a_connection(&error) {
            let mut last = self
                .connection_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last = Some(format!("{reason}{}", connection_advice(&error, reason)));
        }
        // Errors that matter come through `poll` as well, and are judged there.
        debug!("librdkafka: {error}: {reason}");
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        iam::token(config)
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
            // The listener has to know of an empty assignment: this process is a standby then.
            self.listener.assigned(&[]);
        } else if self.stop.is_stopping() {
            // The starting offsets aren't needed, because nothing will be read. A client that is being closed gets no
            // answers anyway.
            debug!("assigned while stopping: {partitions:?} are not read");
        } else {
            let search = Search {
                consumer,
                topic: &self.topic,
                first_starts: &self.first_starts,
                stop: &self.stop,
                time_limit: self.time_limit,
            };
            let begun = search
                .run(partitions)
                .and_then(|starts| starts.map_or(Ok(()), |starts| self.begin(&starts, list)));
            // An error is reported, but the list is assigned below in any case: librdkafka waits for that. During a
            // stop the error isn't reported, because the stop may be why a question had no answer.
            if let Err(error) = begun
                && !self.stop.is_stopping()
            {
                self.listener.failed(StartError::of(&error));
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

    fn begin(&self, starts: &Starts, list: &mut TopicPartitionList) -> ClientResult<()> {
        // First everything that can fail, so that no partition has begun if something fails.
        for &(partition, start) in &starts.known {
            // Always set, also to the committed offset: without it librdkafka asks the group a second time, and
            // if that answer is an error the partition may never be read.
            let offset = KafkaOffset::Offset(start.offset().0);
            list.set_partition_offset(&self.topic.name, partition.number, offset)?;
        }
        for &partition in &starts.waiting {
            // Nothing is taken from this partition before its start is known, and then a seek sets the offset. But
            // librdkafka asks its broker for the offset that stands here, and if that answer crosses the seek, it asks
            // again and goes on where the second answer says. So no other offset than the seek's may stand here.
            list.set_partition_offset(&self.topic.name, partition.number, KafkaOffset::Beginning)?;
        }
        for &partition in &starts.waiting {
            self.assignment.wait_for_start(partition);
            self.listener.waiting_for_start(&[partition]);
        }
        let begun = starts.known.iter().map(|&(partition, start)| {
            self.report(partition, start);
            self.begin_partition(partition, start)
        });
        let begun: Vec<AssignedPartition> = begun.collect();
        for &(partition, count) in &starts.rejections {
            if let Some(assigned) = begun
                .iter()
                .find(|assigned| assigned.partition == partition)
            {
                self.listener.rejections_counted(assigned, count);
            }
        }
        self.listener.assigned(&begun);
        self.topic_ids.go_on_from(starts.topic_ids.iter().cloned());
        self.log_signs.compare_ids();
        Ok(())
    }

    /// Only offsets of the topic that exists now are committed from now on, unless the log says that it is another one
    /// than the one that was read.
    pub(super) fn adopt_topic_id(&self) {
        if let Some(id) = self.log_signs.settled_id() {
            self.topic_ids.adopt(id);
        }
    }

    /// After the topic was recreated, the reported ends may be those of the new one.
    fn note_ends(&self, ends: &[EndOffset]) {
        if !self.log_signs.has_recreation() {
            let ends = ends.iter().map(|end| (end.partition, end.offset));
            *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends.collect();
        }
    }

    pub(super) fn begin_partition(
        &self,
        partition: TopicPartition,
        start: StartingOffset,
    ) -> AssignedPartition {
        AssignedPartition {
            partition,
            epoch: self.assignment.begin(partition, start.offset()),
            start: start.offset(),
            committed: start.committed(),
        }
    }

    fn report(&self, partition: TopicPartition, start: StartingOffset) {
        match start {
            StartingOffset::Committed(offset) => {
                info!(topic = self.topic.name, partition = partition.number, offset = offset.0; "assigned: continues at the committed offset");
            }
            StartingOffset::First(offset) => {
                info!(topic = self.topic.name, partition = partition.number, offset = offset.0; "assigned: the group has no committed offset yet and begins here");
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
                error!(topic = self.topic.name, partition = partition.number, committed = committed.0, earliest = earliest.0;
                    "the committed offset lies beyond the log's end: the topic was recreated or truncated; \
                     reading from its earliest offset");
                self.listener.log_reset();
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
            // Offsets of a topic that is gone must not be committed: they would count for the new one.
            if self.log_signs.has_recreation() {
                self.listener.recreated(partitions);
            }
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
}

fn partitions_of(topic: &Topic, list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| topic.partition(element.partition()))
        .collect()
}
