//! The poller is the only thread that polls Kafka. It gathers messages into batches and offers these to the writers.
//! `core::batching` decides when a batch is offered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, error};

use super::assignment_watch::AssignmentWatch;
use super::back_pressure::{BUSY_WRITERS, BackPressure, ROOM_WAIT};
use super::event::Event;
use super::gap::check_gap;
use super::letters::Letters;
use super::operator_pause::OperatorPause;
use super::paused_lag::PausedLag;
use super::pending_batches::PendingBatches;
use super::poll_error::{PollErrorHandler, client_failed};
use super::positions::{Positions, Sequence};
use super::topic_starts::TopicStarts;
use crate::commit::{CommitterHandle, CommitterMessage};
use crate::core::batching::{FILL_POLL, Pending, PollerState};
use crate::core::dead_letter::ReplayCriteria;
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::failure::Failure;
use crate::kafka::{
    AssignedPartition, Assignment, ConsumedMessage, KafkaConsumer, Polled, Recreation,
};
use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;
use crate::runtime::{PauseSwitch, ProcessEvents, StopSignal};
use crate::store::WriterPool;

/// The longest single wait inside a poll. A stop is noticed after it.
const POLL_SLICE: Duration = Duration::from_millis(250);
/// The shortest time between two reports of the positions. A report follows a poll without a message, so an idle
/// poller reports once in each `poll_timeout`, by default every second.
const POSITIONS_INTERVAL: Duration = Duration::from_millis(500);
/// How long after the deadline for settling the worker may still take to leave the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

pub struct PollerSettings {
    pub topic: String,
    pub group: String,
    /// Take only these dead letters: the topic is the dead letter topic.
    pub letters: Option<ReplayCriteria>,
    pub batch_size: usize,
    pub batch_bytes: usize,
    pub poll_timeout: Duration,
}

pub struct Poller {
    consumer: Arc<KafkaConsumer>,
    pool: WriterPool,
    committer: CommitterHandle,
    assignment: Arc<Assignment>,
    events: ProcessEvents,
    stop: StopSignal,
    metrics: Arc<MetricsCollector>,
    /// Where lost messages are counted.
    losses: Arc<MetricsCollector>,
    health: Arc<Health>,
    topic: String,
    letters: Option<Letters>,
    poll_timeout: Duration,
    pending: PendingBatches,
    positions: Positions,
    positions_reported_at: Instant,
    starts: TopicStarts,
    /// The last poll brought nothing.
    is_source_drained: bool,
    /// The topic was deleted and recreated, and this is still to be acted on.
    recreation: Option<Recreation>,
    back_pressure: BackPressure,
    operator_pause: OperatorPause,
    paused_lag: PausedLag,
    errors: PollErrorHandler,
    assignment_watch: AssignmentWatch,
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
        events: ProcessEvents,
        stop: StopSignal,
        metrics: Arc<MetricsCollector>,
        losses: Arc<MetricsCollector>,
        health: Arc<Health>,
        pause: PauseSwitch,
        brokers_down: crossbeam_channel::Sender<()>,
        settings: PollerSettings,
    ) -> Self {
        let now = Instant::now();
        Self {
            starts: TopicStarts::new(
                committer.clone(),
                Arc::clone(&assignment),
                settings.topic.clone(),
                now,
            ),
            back_pressure: BackPressure::new(Arc::clone(&metrics), settings.topic.clone(), now),
            operator_pause: OperatorPause::new(pause, Arc::clone(&metrics), Arc::clone(&health)),
            paused_lag: PausedLag::new(committer.clone(), now),
            consumer,
            pool,
            committer,
            assignment,
            events,
            stop,
            metrics,
            losses,
            errors: PollErrorHandler::new(
                brokers_down,
                settings.topic.clone(),
                settings.group,
                Arc::clone(&health),
                now,
            ),
            health,
            topic: settings.topic,
            letters: settings.letters.map(Letters::new),
            poll_timeout: settings.poll_timeout,
            pending: PendingBatches::new(settings.batch_size, settings.batch_bytes),
            positions: Positions::default(),
            positions_reported_at: now,
            is_source_drained: false,
            recreation: None,
            assignment_watch: AssignmentWatch::new(now),
        }
    }

    /// Runs until the stop, and then leaves the group. Fails when the client can't continue.
    pub fn run(mut self) -> Result<(), Failure> {
        if let Err(failure) = self.poll_until_stopped() {
            // Reported here instead of returned: this thread's result is reported only after it has dropped the
            // consumer, and that may take long.
            self.events.failed(failure);
            return Ok(());
        }
        self.leave()
    }

    fn poll_until_stopped(&mut self) -> Result<(), Failure> {
        let consumer = Arc::clone(&self.consumer);
        consumer
            .subscribe()
            .map_err(|error| Failure::running("can't subscribe").because(error))?;
        self.assignment_watch.subscribed(Instant::now());
        self.health.beat(Instant::now());
        while !self.stop.is_stopping() {
            let event = self.next_event(&consumer);
            self.handle_event(event)?;
        }
        Ok(())
    }

    /// Dispatches a batch if one is ready. Otherwise waits for room, polls once, or does both.
    fn next_event<'c>(&mut self, consumer: &'c KafkaConsumer) -> Event<'c> {
        if let Some(recreation) = self.recreation.take() {
            return Event::TopicRecreated(recreation);
        }
        if self.operator_pause.has_new_order() {
            return Event::PauseOrdered;
        }
        if self.starts.is_settling_the_old_topic()
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
            if !self.back_pressure.wait_for_room(&self.pool, consumer) {
                return Event::WaitedForRoom;
            }
        } else if self.operator_pause.is_on() {
            self.back_pressure
                .pause(consumer, self.operator_pause.why());
        } else if !self.starts.is_settling_the_old_topic() {
            self.back_pressure.end(consumer);
        }
        let polled = self.poll(consumer, state.poll_timeout(self.poll_timeout));
        // A rebalance may have happened inside the poll. Records of partitions that were taken away must not be
        // stored.
        if self.positions.renew(&self.assignment) {
            self.drop_what_is_gone();
        }
        let signs = consumer.take_topic_signs();
        if signs.was_offset_reset {
            self.positions.suspect_all();
        }
        match (polled, signs.recreated) {
            // A message of these partitions is dropped. Either it was deleted with the old topic, or it is of the new
            // one, which is read from its beginning later.
            (Polled::Message(message), Some(Recreation::UnderThisWorker(old)))
                if old.contains(&message.partition()) =>
            {
                Event::TopicRecreated(Recreation::UnderThisWorker(old))
            }
            (polled, recreation) => {
                self.recreation = recreation;
                Event::of(polled)
            }
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
                // No heartbeat for each message: the other events have one, and one of them comes at the latest when a
                // batch is full. Of an old topic no message fills a batch.
                let letters = self.letters.as_mut();
                if letters.is_some_and(Letters::is_look_due) {
                    self.look_around();
                } else if !self.starts.is_settling_the_old_topic() {
                    return Ok(());
                }
            }
            Event::NothingReady => {
                self.is_source_drained = true;
                self.look_around();
            }
            Event::PollFailed(error) => {
                self.is_source_drained = true;
                self.errors.handle(error)?;
                // A short wait, because errors may come one after the other without a pause.
                let _ = self.stop.wait(FILL_POLL);
            }
            Event::TopicRecreated(recreation) => {
                self.metrics.increment_log_resets();
                self.starts
                    .topic_was_recreated(recreation, &self.positions, &self.consumer);
                self.is_source_drained = true;
                let why = "what was read of the old topic is stored first";
                self.back_pressure.pause(&self.consumer, why);
            }
            Event::OldTopicSettled => {
                self.starts.old_topic_is_settled(&self.consumer);
                self.positions.renew(&self.assignment);
            }
            Event::PauseOrdered => self.operator_pause.obey(),
            // Also here: while one partition is always busy, every poll brings a message, and `NothingReady` never
            // comes.
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
                check_gap(
                    &self.consumer,
                    &self.losses,
                    &self.topic,
                    partition,
                    from..offset,
                );
                epoch
            }
            Sequence::WentBack { from } => self.begin_anew(partition, from, offset),
            Sequence::NotOurs => return,
        };
        if self.starts.waits_for_the_new_topic(partition, epoch) {
            self.is_source_drained = true;
            return;
        }
        let id = RecordId {
            partition,
            epoch,
            offset,
        };
        let original = match &mut self.letters {
            None => None,
            Some(letters) => match letters.select(message) {
                None => return,
                selected => selected,
            },
        };
        let batch = self
            .pending
            .filling(Instant::now, || self.pool.batch_limit());
        let (key, value) = (message.key(), message.value());
        match original {
            None => batch.push(id, message.timestamp(), key, value, message.headers()),
            Some(original) => batch.push_replay(id, original, key, value, message.headers()),
        }
        if self.pending.is_overfull() {
            self.back_pressure.pause(&self.consumer, BUSY_WRITERS);
        }
    }

    /// The log was truncated and continues below what was read. So a new epoch of this partition begins.
    fn begin_anew(&mut self, partition: TopicPartition, from: Offset, offset: Offset) -> Epoch {
        error!(topic = self.topic, partition = partition.number, expected = from.0, offset = offset.0;
            "the log continues below what was read: it was truncated or recreated; reading on from there");
        self.metrics.increment_log_resets();
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

    /// Offers the next batch to the writers. Returns whether they took it.
    fn offer(&mut self) -> bool {
        self.pending.offer(|batch| self.pool.offer(batch))
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

    /// Tasks that are done now and then.
    fn look_around(&mut self) {
        self.starts.search_if_due(&self.consumer);
        self.positions.renew(&self.assignment);
        self.assignment_watch.look(&self.consumer, &self.health);
        self.report_positions();
        if self.back_pressure.is_paused() {
            self.paused_lag.look_if_due(&self.consumer);
        }
        self.errors.look_for_topic(&self.consumer);
    }

    /// Reports how far each partition is read, now and then: transaction markers move a position without a
    /// message.
    fn report_positions(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.positions_reported_at) < POSITIONS_INTERVAL {
            return;
        }
        self.positions_reported_at = now;
        let pending = self.pending.partitions();
        let positions: Vec<_> = self
            .consumer
            .positions()
            .into_iter()
            // All records below a position were dispatched, unless some are pending.
            .filter(|(partition, _)| !pending.contains(partition))
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
                // The group removes a member that doesn't poll. A message that this poll brings is dropped: it stays
                // uncommitted, and Kafka delivers it again.
                let _ = self.consumer.poll(Duration::ZERO);
            }
        }
        // The revoke that the close brings must not commit offsets of a topic that is gone.
        let noted = self.recreation.take();
        if let Some(recreation) = noted.or_else(|| self.consumer.take_topic_signs().recreated) {
            self.starts
                .topic_was_recreated(recreation, &self.positions, &self.consumer);
        }
        let Self {
            consumer,
            pool,
            stop,
            ..
        } = self;
        // This closes the pool. The writers end when they have done what is queued.
        drop(pool);
        // Closing brings a revoke, which waits for the writers and commits.
        consumer.close().map_err(client_failed)?;
        let closed_by = stop.settle_by().unwrap_or_else(Instant::now) + LEAVE_TIMEOUT;
        while !consumer.is_closed() && Instant::now() < closed_by {
            // A message that this poll brings is dropped: it stays uncommitted, and Kafka delivers it again.
            let _ = consumer.poll(FILL_POLL);
        }
        Ok(())
    }
}
