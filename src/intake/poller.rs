//! The poller: alone polls Kafka, gathers messages into batches, and offers these to the writers.
//! `core::batching` decides when a batch goes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, error, info, warn};

use super::pending_batches::PendingBatches;
use super::poll_error::{PollErrorHandler, client_failed};
use super::positions::{Positions, Sequence};
use crate::commit::{CommitterHandle, CommitterMessage};
use crate::core::batching::{FILL_POLL, Pending, PollerState};
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::core::starting_offset::FirstStart;
use crate::failure::Failure;
use crate::kafka::{
    AssignedPartition, Assignment, ConsumedMessage, KafkaConsumer, PollError, Polled,
};
use crate::observe::health::Health;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;
use crate::runtime::StopSignal;
use crate::store::WriterPool;

/// The longest wait inside a poll: a stop is noticed after it.
const POLL_SLICE: Duration = Duration::from_millis(250);
/// One wait for room. The poller serves the group between two of them.
const ROOM_WAIT: Duration = Duration::from_millis(100);
/// A pause costs up to a second and the prefetched messages: it is worth it only if the pressure lasts.
const PAUSE_AFTER: Duration = Duration::from_secs(3);
/// The shortest time between two reports of the positions. A report follows a poll without a message, so an idle
/// poller reports once in each `poll_timeout`, by default every second.
const POSITIONS_INTERVAL: Duration = Duration::from_millis(500);
/// The longest question for the earliest offset that still exists.
const EARLIEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often partitions are looked at that wait for their start.
const STARTS_INTERVAL: Duration = Duration::from_secs(2);
/// The longest that one question about their starts may take.
const STARTS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the group may take for an assignment before that is said, and said again.
const ASSIGNMENT_WARNING: Duration = Duration::from_secs(30);
/// How long leaving the group may take after the settling.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The log line about partitions that wait for their start.
const NO_START: &str = "it isn't known yet where some partitions begin, asking again";

pub struct PollerSettings {
    pub topic: String,
    pub batch_size: usize,
    pub batch_bytes: usize,
    pub poll_timeout: Duration,
}

pub struct Poller {
    consumer: Arc<KafkaConsumer>,
    pool: WriterPool,
    committer: CommitterHandle,
    assignment: Arc<Assignment>,
    stop: StopSignal,
    metrics: Arc<MetricsCollector>,
    health: Arc<Health>,
    topic: String,
    poll_timeout: Duration,
    pending: PendingBatches,
    positions: Positions,
    positions_reported_at: Instant,
    /// The topic was made anew: what was read of these partitions is settled before the new log is read.
    recreated: Vec<(TopicPartition, Epoch)>,
    starts_searched_at: Instant,
    starts_warnings: RateLimited,
    /// The last poll brought nothing.
    is_source_drained: bool,
    /// Since when a full batch has waited for room.
    pressure_since: Option<Instant>,
    /// When the consumer was last polled while a full batch waited.
    last_poll_at: Instant,
    is_paused: bool,
    errors: PollErrorHandler,
    subscribed_at: Instant,
    /// How long after the subscription the next warning about a missing assignment is due.
    next_assignment_warning: Duration,
}

/// The poller's next step, done or waited for.
enum Event<'a> {
    Message(ConsumedMessage<'a>),
    NothingReady,
    PollFailed(PollError),
    /// The topic was deleted and made anew.
    TopicRecreated,
    /// What was read of the topic before it was made anew is settled.
    OldTopicSettled,
    /// A batch went to the writers.
    Dispatched,
    /// A full batch still waits for room, and it isn't time to poll.
    WaitedForRoom,
}

impl Poller {
    #[expect(
        clippy::too_many_arguments,
        reason = "each part is handed over to the poller here"
    )]
    pub fn new(
        consumer: Arc<KafkaConsumer>,
        pool: WriterPool,
        committer: CommitterHandle,
        assignment: Arc<Assignment>,
        stop: StopSignal,
        metrics: Arc<MetricsCollector>,
        health: Arc<Health>,
        brokers_down: crossbeam_channel::Sender<()>,
        settings: PollerSettings,
    ) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            pool,
            committer,
            assignment,
            stop,
            metrics,
            errors: PollErrorHandler::new(
                brokers_down,
                settings.topic.clone(),
                Arc::clone(&health),
                now,
            ),
            health,
            topic: settings.topic,
            poll_timeout: settings.poll_timeout,
            pending: PendingBatches::new(settings.batch_size, settings.batch_bytes),
            positions: Positions::default(),
            positions_reported_at: now,
            recreated: Vec::new(),
            starts_searched_at: now,
            starts_warnings: RateLimited::new(Level::Warn, NO_START),
            is_source_drained: false,
            pressure_since: None,
            last_poll_at: now,
            is_paused: false,
            subscribed_at: now,
            next_assignment_warning: ASSIGNMENT_WARNING,
        }
    }

    /// Runs until the stop, and then leaves the group. Fails when the client can't continue.
    pub fn run(mut self) -> Result<(), Failure> {
        let consumer = Arc::clone(&self.consumer);
        consumer
            .subscribe()
            .map_err(|error| Failure::running("can't subscribe").because(error))?;
        self.health.beat(Instant::now());
        while !self.stop.is_stopping() {
            let event = self.next_event(&consumer);
            self.handle_event(event)?;
        }
        drop(consumer);
        self.leave()
    }

    /// Dispatches what is ready; otherwise polls once, or waits for room.
    fn next_event<'c>(&mut self, consumer: &'c KafkaConsumer) -> Event<'c> {
        if !self.recreated.is_empty()
            && self.pending.is_empty()
            && self.pool.in_flight().messages == 0
        {
            return Event::OldTopicSettled;
        }
        let state = PollerState {
            pending: self.pending.state(),
            is_source_drained: self.is_source_drained,
        };
        if state.is_ready(|| self.pool.has_idle_writer()) && self.offer() {
            return Event::Dispatched;
        }
        if state.pending == Pending::FullBatch {
            if !self.wait_for_room() {
                return Event::WaitedForRoom;
            }
        } else {
            self.end_pressure();
        }
        let polled = self.poll(consumer, state.poll_timeout(self.poll_timeout));
        // A rebalance may have happened inside the poll: what is no longer ours is not ours to store.
        if self.positions.renew(&self.assignment) {
            self.drop_what_is_gone();
        }
        let signs = consumer.take_topic_signs();
        if signs.was_offset_reset {
            self.positions.suspect_all();
        }
        match polled {
            Polled::Error(error) => Event::PollFailed(error),
            // A message that came now is either gone with the old topic, or read again in the new one.
            _ if signs.was_recreated => Event::TopicRecreated,
            Polled::Message(message) => Event::Message(message),
            Polled::Nothing => Event::NothingReady,
        }
    }

    /// Polls once, in slices between which a stop is noticed.
    fn poll<'c>(&self, consumer: &'c KafkaConsumer, mut timeout: Duration) -> Polled<'c> {
        loop {
            let slice = timeout.min(POLL_SLICE);
            timeout -= slice;
            match consumer.poll(slice) {
                Polled::Nothing if !timeout.is_zero() && !self.stop.is_stopping() => {
                    self.health.beat(Instant::now());
                }
                polled => return polled,
            }
        }
    }

    fn handle_event(&mut self, event: Event<'_>) -> Result<(), Failure> {
        match event {
            Event::Message(message) => {
                self.is_source_drained = false;
                self.take(&message);
                // The heartbeat comes with the other events: after so many messages a batch is full.
                return Ok(());
            }
            Event::NothingReady => {
                self.is_source_drained = true;
                self.look_around();
            }
            Event::PollFailed(error) => {
                self.is_source_drained = true;
                self.errors.handle(error)?;
                // Errors may come one after the other without a pause.
                let _ = self.stop.wait(FILL_POLL);
            }
            Event::TopicRecreated => self.settle_the_old_topic(),
            Event::OldTopicSettled => self.begin_the_new_topic(),
            // While one partition is always busy, every poll brings a message, and `NothingReady` never comes.
            Event::Dispatched => self.look_around(),
            Event::WaitedForRoom => {}
        }
        self.health.beat(Instant::now());
        Ok(())
    }

    fn take(&mut self, message: &ConsumedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let epoch = match self.positions.advance(partition, offset) {
            Sequence::InOrder(epoch) => epoch,
            Sequence::SuspectGap { epoch, from } => {
                self.check_gap(partition, from, offset);
                epoch
            }
            Sequence::WentBack { from } => self.begin_anew(partition, from, offset),
            Sequence::NotOurs => return,
        };
        if !self.recreated.is_empty() && self.recreated.contains(&(partition, epoch)) {
            self.is_source_drained = true;
            return;
        }
        let id = RecordId {
            partition,
            epoch,
            offset,
        };
        let batch = self.pending.filling(Instant::now);
        batch.push(
            id,
            message.timestamp(),
            message.key(),
            message.value(),
            message.headers(),
        );
        if self.pending.is_overfull() {
            self.pause();
        }
    }

    /// Finds out whether retention has deleted the records before `offset`. Compaction and transactions leave
    /// gaps as well, but then the log's start lies below the gap.
    fn check_gap(&self, partition: TopicPartition, from: Offset, offset: Offset) {
        match self.consumer.earliest(partition, EARLIEST_TIMEOUT) {
            Ok(earliest) if earliest > from => {
                let to = earliest.min(offset);
                self.metrics.increment_offsets_skipped(to.since(from));
                error!(topic = self.topic, partition = partition.number, from = from.0, to = to.0,
                    count = to.since(from);
                    "retention has deleted records before this worker read them; they are lost to it");
            }
            Ok(_) => {}
            Err(error) => warn!(partition = partition.number, from = from.0, to = offset.0;
                "can't tell whether a gap is lost data: {error}"),
        }
    }

    /// The log was truncated and continues below what was read: the bookkeeping of this partition starts over.
    fn begin_anew(&mut self, partition: TopicPartition, from: Offset, offset: Offset) -> Epoch {
        error!(topic = self.topic, partition = partition.number, expected = from.0, offset = offset.0;
            "the log continues below what was read: it was truncated or recreated; reading on from there");
        let epoch = self.assignment.begin(partition, offset);
        self.positions.renew(&self.assignment);
        self.drop_what_is_gone();
        self.positions.advance(partition, offset);
        let begun = AssignedPartition {
            partition,
            epoch,
            start: offset,
            committed: None,
        };
        self.committer.send(CommitterMessage::Assigned(vec![begun]));
        epoch
    }

    /// Nothing of the old topic is committed any more, since its offsets would count for the new one. What was read of
    /// it is still stored.
    fn settle_the_old_topic(&mut self) {
        let partitions = self.assignment.partitions();
        error!(topic = self.topic, partitions:? = partitions;
            "the topic was deleted and made anew: the new one is read from its beginning; what was not read of the \
             old one is lost");
        let epochs = partitions.iter().filter_map(|&partition| {
            let (epoch, _) = self.assignment.current(partition)?;
            Some((partition, epoch))
        });
        self.recreated = epochs.collect();
        self.committer.send(CommitterMessage::Lost(partitions));
        self.is_source_drained = true;
    }

    fn begin_the_new_topic(&mut self) {
        for (partition, epoch) in mem::take(&mut self.recreated) {
            if self.assignment.is_current(partition, epoch) {
                self.assignment
                    .wait_for_start(partition, FirstStart::Earliest);
                self.committer
                    .send(CommitterMessage::WaitingForStart(vec![partition]));
            }
        }
        self.start_waiting_partitions();
    }

    /// Begins partitions whose start wasn't known when they were assigned.
    fn start_waiting_partitions(&mut self) {
        self.starts_searched_at = Instant::now();
        if let Err(error) = self.consumer.start_waiting_partitions(STARTS_TIMEOUT)
            && let Some(suppressed) = self.starts_warnings.admit(Instant::now())
        {
            warn!(suppressed; "{NO_START}: {error}");
        }
        self.positions.renew(&self.assignment);
    }

    /// Offers the next batch to the writers. Returns whether they took it.
    fn offer(&mut self) -> bool {
        self.pending.offer(|batch| self.pool.offer(batch))
    }

    /// Waits for room for the full batch. Returns whether it is time to serve the group by a poll: each poll
    /// may bring a message that has to wait too.
    fn wait_for_room(&mut self) -> bool {
        let now = Instant::now();
        let since = *self.pressure_since.get_or_insert(now);
        if now.duration_since(since) >= PAUSE_AFTER {
            self.pause();
        }
        self.pool.wait_for_room(ROOM_WAIT);
        let now = Instant::now();
        if now.duration_since(self.last_poll_at) < ROOM_WAIT {
            return false;
        }
        self.last_poll_at = now;
        true
    }

    fn end_pressure(&mut self) {
        self.pressure_since = None;
        if self.is_paused {
            match self.consumer.resume() {
                Ok(()) => {
                    self.is_paused = false;
                    self.metrics.set_paused(false);
                    info!("consumption resumed");
                }
                Err(error) => warn!("can't resume, trying again: {error}"),
            }
        }
    }

    fn pause(&mut self) {
        if self.is_paused {
            return;
        }
        match self.consumer.pause() {
            Ok(()) => {
                self.is_paused = true;
                self.metrics.set_paused(true);
                info!("consumption paused: the writers have been busy for seconds");
            }
            Err(error) => warn!("can't pause, trying again: {error}"),
        }
    }

    fn drop_what_is_gone(&mut self) {
        let positions = &self.positions;
        let dropped = self
            .pending
            .drop_if(|id| positions.epoch(id.partition) != Some(id.epoch));
        if dropped > 0 {
            debug!("{dropped} records of partitions that are gone were dropped");
        }
    }

    /// Says so where the group gives no assignment: an empty one is an assignment, too.
    fn warn_without_assignment(&mut self) {
        let waited = self.subscribed_at.elapsed();
        if waited < self.next_assignment_warning || self.health.has_assignment() {
            return;
        }
        self.next_assignment_warning = waited + ASSIGNMENT_WARNING;
        let group = self.consumer.group_protocol_hint();
        warn!(seconds = waited.as_secs();
            "the group has given no assignment yet, so nothing is read: {}{group}",
            self.consumer
                .connection_error()
                .unwrap_or_else(|| "librdkafka reports no error".to_owned()));
    }

    /// What has to be done now and then; some of it while nothing is pending, since only then everything below the
    /// positions was dispatched.
    fn look_around(&mut self) {
        if self.starts_searched_at.elapsed() >= STARTS_INTERVAL {
            self.start_waiting_partitions();
        }
        if self.pending.is_empty() {
            self.warn_without_assignment();
            self.report_positions();
            self.errors.look_for_topic(&self.consumer);
        }
    }

    /// Reports how far each partition is read, now and then: transaction markers move a position without a
    /// message.
    fn report_positions(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.positions_reported_at) < POSITIONS_INTERVAL {
            return;
        }
        self.positions_reported_at = now;
        let positions: Vec<_> = self
            .consumer
            .positions()
            .into_iter()
            .filter_map(|(partition, offset)| {
                self.positions
                    .epoch(partition)
                    .map(|epoch| (partition, epoch, offset))
            })
            .collect();
        if !positions.is_empty() {
            self.committer
                .send(CommitterMessage::PositionsReached(positions));
        }
    }

    /// The ordered end: pending batches go to the writers, the writers finish, and the worker leaves the
    /// group.
    fn leave(mut self) -> Result<(), Failure> {
        while !self.pending.is_empty() && !self.stop.is_past_deadline() {
            if !self.offer() {
                self.pool.wait_for_room(ROOM_WAIT);
                // The group removes a member that doesn't poll. Kafka delivers what comes here again.
                let _ = self.consumer.poll(Duration::ZERO);
            }
        }
        let Self {
            consumer,
            pool,
            stop,
            ..
        } = self;
        // The writers end when they have done what is queued.
        drop(pool);
        // Closing brings a revoke, which waits for the writers and commits.
        consumer.close().map_err(client_failed)?;
        let closed_by = stop.settle_by().unwrap_or_else(Instant::now) + LEAVE_TIMEOUT;
        while !consumer.is_closed() && Instant::now() < closed_by {
            // Kafka delivers what comes here again.
            let _ = consumer.poll(FILL_POLL);
        }
        Ok(())
    }
}
