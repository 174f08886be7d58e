//! The poller: alone polls Kafka, gathers records into batches, and hands these to the writers.
//!
//! Natural batching: a full batch goes as soon as there is room; one that isn't goes as soon as Kafka
//! has nothing more ready and a writer is idle. So a backlog goes in full batches, a lone message at
//! once, and no timer is waited out. It polls whatever happens: a member that doesn't is thrown out.

mod trouble;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use log::{debug, error, info, warn};

use self::trouble::fatal;
use super::failure::Failure;
use super::hand::Hand;
use super::in_flight::InFlight;
use super::messages::ToCommitter;
use super::reading::{Continuity, Readings};
use super::stop::StopSignal;
use super::writer::WriterContext;
use crate::core::assignment::Assignment;
use crate::core::partition::{Epoch, Offset, Partition, RecordId};
use crate::core::record::Batch;
use crate::core::run::RecordRun;
use crate::kafka::{Assigned, KafkaConsumer, Polled, Taken};
use crate::observe::health::Health;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

/// The longest wait inside of a poll: a stop is noticed after it.
const POLL_SLICE: Duration = Duration::from_millis(250);
/// How long a batch that isn't full waits for more while no writer is idle.
const FILL_POLL: Duration = Duration::from_millis(2);
/// One wait for room; the group is served between two of them.
const PRESSURE_SLICE: Duration = Duration::from_millis(100);
/// A pause costs up to a second and the prefetch: only pressure that lasts is worth it.
const PAUSE_AFTER: Duration = Duration::from_secs(3);
/// How often positions are told while there is nothing to take.
const POSITIONS_INTERVAL: Duration = Duration::from_millis(500);
/// The longest look for the earliest offset that is left.
const EARLIEST_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Poller {
    pub consumer: Arc<KafkaConsumer>,
    pub batches: Sender<Batch>,
    pub committer: Sender<ToCommitter>,
    pub brokers_down: Sender<()>,
    pub writers: Arc<WriterContext>,
    pub in_flight: Arc<InFlight>,
    pub assignment: Arc<Assignment>,
    pub stop: StopSignal,
    pub metrics: Arc<MetricsCollector>,
    pub health: Arc<Health>,
    pub topic: String,
    pub batch_size: usize,
    pub batch_bytes: usize,
    pub poll_timeout: Duration,
}

struct State {
    poller: Poller,
    readings: Readings,
    hand: Hand,
    /// The last poll brought nothing.
    is_drained: bool,
    pressed_since: Option<Instant>,
    /// When the topic was last looked for in vain; at first, when it may have been.
    topic_missed: Option<Instant>,
    /// The last poll under pressure.
    served: Instant,
    is_paused: bool,
    positions_told: Instant,
    troubles: RateLimited,
}

impl Poller {
    /// Runs until the stop, then leaves the group with all settled that could be.
    ///
    /// # Errors
    /// When the client can't go on.
    pub fn run(self) -> Result<(), Failure> {
        let now = Instant::now();
        let hand = Hand::new(self.batch_size, self.batch_bytes);
        State {
            poller: self,
            readings: Readings::default(),
            hand,
            is_drained: false,
            pressed_since: None,
            topic_missed: Some(now),
            served: now,
            is_paused: false,
            positions_told: now,
            troubles: RateLimited::default(),
        }
        .run()
    }
}

impl State {
    fn run(mut self) -> Result<(), Failure> {
        self.poller
            .consumer
            .subscribe()
            .map_err(|error| Failure::Running(format!("can't subscribe: {error}")))?;
        while !self.poller.stop.is_stopping() {
            self.poller.health.beat(Instant::now());
            self.turn()?;
        }
        self.leave()
    }

    /// Hands over what is ready, and polls once.
    fn turn(&mut self) -> Result<(), Failure> {
        let is_full = self.hand.is_full();
        if !is_full {
            self.pressure_is_over();
        }
        let is_ready =
            is_full || (self.is_drained && !self.hand.is_empty() && self.is_writer_idle());
        if is_ready && self.try_dispatch() {
            return Ok(());
        }
        if is_full {
            self.wait_under_pressure();
            // Each poll may bring a message that has to wait, too: one a slice serves the group.
            let now = Instant::now();
            if now.duration_since(self.served) < PRESSURE_SLICE {
                return Ok(());
            }
            self.served = now;
        }
        let timeout = if is_full {
            Duration::ZERO
        } else if self.hand.is_empty() {
            if self.is_drained {
                self.poller.poll_timeout
            } else {
                Duration::ZERO
            }
        } else if self.is_drained {
            FILL_POLL
        } else {
            Duration::ZERO
        };
        self.poll(timeout)
    }

    /// Takes what is ready, up to a full batch; waits up to `timeout` for the first record.
    fn poll(&mut self, mut timeout: Duration) -> Result<(), Failure> {
        let consumer = Arc::clone(&self.poller.consumer);
        loop {
            let slice = timeout.min(POLL_SLICE);
            timeout -= slice;
            let polled = consumer.poll(slice);
            // A rebalance may have happened inside: what is no longer ours is not ours to store.
            if self.readings.renew(&self.poller.assignment) {
                self.drop_what_is_gone();
            }
            match polled {
                Polled::Record(taken) => {
                    self.is_drained = false;
                    self.take(&taken);
                }
                Polled::Nothing if !timeout.is_zero() && !self.poller.stop.is_stopping() => {
                    continue;
                }
                Polled::Nothing => {
                    self.is_drained = true;
                    self.tell_positions();
                    self.look_for_topic();
                    return Ok(());
                }
                Polled::Trouble(trouble) => {
                    self.is_drained = true;
                    return self.trouble(trouble);
                }
            }
            if self.hand.is_full() || self.poller.stop.is_stopping() {
                return Ok(());
            }
            timeout = Duration::ZERO;
        }
    }

    fn take(&mut self, taken: &Taken<'_>) {
        if self.poller.consumer.take_offset_reset() {
            self.readings.suspect_all();
        }
        let (partition, offset) = (taken.partition(), taken.offset());
        let epoch = match self.readings.take(partition, offset) {
            Continuity::Usual(epoch) => epoch,
            Continuity::Gap { epoch, from } => {
                self.look_at_gap(partition, from, offset);
                epoch
            }
            Continuity::WentBack { from } => self.begin_anew(partition, from, offset),
            Continuity::NotOurs => return,
        };
        let id = RecordId {
            partition,
            epoch,
            offset,
        };
        let batch = self.hand.filling(Instant::now);
        batch.push(
            id,
            taken.timestamp(),
            taken.key(),
            taken.value(),
            taken.headers(),
        );
        if self.hand.is_overfull() {
            self.pause();
        }
    }

    /// Whether retention has deleted what lies before `offset`; compaction and transactions leave gaps
    /// as well, but the log's start then lies below them.
    fn look_at_gap(&self, partition: Partition, from: Offset, offset: Offset) {
        match self.poller.consumer.earliest(partition, EARLIEST_TIMEOUT) {
            Ok(earliest) if earliest > from => {
                let to = earliest.min(offset);
                self.poller
                    .metrics
                    .increment_offsets_skipped(to.since(from));
                error!(topic = self.poller.topic, partition = partition.0, from = from.0, to = to.0,
                    count = to.since(from);
                    "retention has deleted records before this worker read them; they are lost to it");
            }
            Ok(_) => {}
            Err(error) => warn!(partition = partition.0, from = from.0, to = offset.0;
                "can't tell whether a gap is lost data: {error}"),
        }
    }

    /// The log was cut, and goes on below what was read: bookkeeping for this partition starts over.
    fn begin_anew(&mut self, partition: Partition, from: Offset, offset: Offset) -> Epoch {
        error!(topic = self.poller.topic, partition = partition.0, expected = from.0, offset = offset.0;
            "the log goes on below what was read: it was cut or made anew; reading on from there");
        let epoch = self.poller.assignment.begin(partition, offset);
        self.readings.renew(&self.poller.assignment);
        self.drop_what_is_gone();
        self.readings.take(partition, offset);
        let begun = Assigned {
            partition,
            epoch,
            start: offset,
            committed: None,
        };
        self.tell(ToCommitter::Assigned(vec![begun]));
        epoch
    }

    fn is_writer_idle(&self) -> bool {
        self.poller.batches.is_empty() && self.poller.writers.idle.load(Ordering::Acquire) > 0
    }

    /// Sends the batch in hand if there is room for it. Only the poller sends, so room that is there
    /// stays there: the committer can be told first.
    fn try_dispatch(&mut self) -> bool {
        let Some(weight) = self.hand.weight() else {
            return true;
        };
        if self.poller.batches.is_full() || !self.poller.in_flight.has_room(weight) {
            return false;
        }
        let Some(batch) = self.hand.pop() else {
            return true;
        };
        let runs = RecordRun::collect(batch.records().iter().map(|record| record.id));
        self.poller.in_flight.add(weight);
        let now = self.poller.in_flight.now();
        self.poller.metrics.set_in_flight_messages(now.messages);
        self.poller.metrics.set_in_flight_bytes(now.bytes);
        let consumed = u64::try_from(weight.messages).unwrap_or(u64::MAX);
        self.poller.metrics.increment_messages_consumed(consumed);
        self.tell(ToCommitter::Dispatched {
            runs,
            taken_at: batch.taken_at(),
        });
        match self.poller.batches.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                // The writers are gone, and with them the process: the batch stays uncommitted.
                debug!("a batch found no writer");
            }
        }
        true
    }

    fn wait_under_pressure(&mut self) {
        let now = Instant::now();
        let since = *self.pressed_since.get_or_insert(now);
        if !self.is_paused && now.duration_since(since) >= PAUSE_AFTER {
            self.pause();
        }
        // Ready or not, the next turn looks.
        let room = if self.poller.batches.is_full() {
            &self.poller.writers.queue_room
        } else {
            &self.poller.in_flight.room
        };
        room.wait(PRESSURE_SLICE);
    }

    fn pressure_is_over(&mut self) {
        self.pressed_since = None;
        if self.is_paused {
            match self.poller.consumer.resume() {
                Ok(()) => {
                    self.is_paused = false;
                    self.poller.metrics.set_paused(false);
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
        match self.poller.consumer.pause() {
            Ok(()) => {
                self.is_paused = true;
                self.poller.metrics.set_paused(true);
                info!("consumption paused: the writers have been busy for seconds");
            }
            Err(error) => warn!("can't pause, trying again: {error}"),
        }
    }

    fn drop_what_is_gone(&mut self) {
        let readings = &self.readings;
        let dropped = self
            .hand
            .drop_if(|id| readings.epoch(id.partition) != Some(id.epoch));
        if dropped > 0 {
            debug!("{dropped} records of partitions that are gone were dropped");
        }
    }

    /// Everything below the positions is handed over when nothing is in hand: then they say how far
    /// markers of transactions have moved us.
    fn tell_positions(&mut self) {
        let now = Instant::now();
        let is_time = now.duration_since(self.positions_told) >= POSITIONS_INTERVAL;
        if !self.hand.is_empty() || !is_time {
            return;
        }
        self.positions_told = now;
        let positions: Vec<_> = self
            .poller
            .consumer
            .positions()
            .into_iter()
            .filter_map(|(partition, offset)| {
                self.readings
                    .epoch(partition)
                    .map(|epoch| (partition, epoch, offset))
            })
            .collect();
        if !positions.is_empty() {
            self.tell(ToCommitter::Reached(positions));
        }
    }

    /// The ordered end: what is in hand goes out, the writers finish, the group hears that we leave.
    fn leave(mut self) -> Result<(), Failure> {
        while !self.hand.is_empty() && !self.poller.stop.is_past_deadline() {
            if !self.try_dispatch() {
                self.wait_under_pressure();
                // A member that doesn't poll is thrown out; what comes is Kafka's to deliver again.
                let _ = self.poller.consumer.poll(Duration::ZERO);
            }
        }
        let State { poller, .. } = self;
        let Poller {
            consumer,
            batches,
            stop,
            ..
        } = poller;
        // The writers end when they have taken what is queued.
        drop(batches);
        // The revoke that this brings about waits for them, and commits.
        consumer.close().map_err(|error| fatal(&error))?;
        let patience = stop.settle_by().unwrap_or_else(Instant::now) + LEAVE_PATIENCE;
        while !consumer.is_closed() && Instant::now() < patience {
            // Whatever still comes is Kafka's to deliver again.
            let _ = consumer.poll(FILL_POLL);
        }
        Ok(())
    }

    fn tell(&self, message: ToCommitter) {
        // A committer that is gone has ended the process already.
        let _ = self.poller.committer.send(message);
    }
}

/// How long leaving the group may take beyond the settling.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);
