//! Stores messages that an audit found missing: out of the consumed topic into MongoDB by the workers' own write path.
//!
//! ```text
//! consumed topic → audit → repair → store → MongoDB
//!                             │        └───→ dead letter topic
//!                             └──→ commit ←── settlements
//! ```
//!
//! The committer keeps its books as for a worker, and nothing is committed to Kafka: its "commits" are how far the
//! repair came, so that another repair can go on there. The audit reads and decides what is missing.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::cause::Cause;
use super::destination::{Destination, Purpose};
use super::process::WatchedProcess;
use super::progress::SettledCounts;
use super::repair_progress::{NothingToCommit, RepairProgress};
use super::replayer::EPOCH;
use crate::commit::{self, CommitterHandle, CommitterMessage, CommitterSettings, Ownership};
use crate::config::Config;
use crate::core::partition::{Offset, RecordId, TopicPartition};
use crate::core::record::Batch;
use crate::core::time_limits::RevokeDeadlines;
use crate::failure::Failure;
use crate::kafka::{AssignedPartition, ConsumedMessage, Ranges};
use crate::runtime::{CaughtSignals, PauseSwitch, ProcessEvent, StopSignal, Threads};

/// The longest wait for room before the stop and the threads are looked at again.
const SLICE: Duration = Duration::from_millis(50);

/// After a failure, what is in flight may still be settled for this long.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long after a symptom its cause may still be reported.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest wait for the last books of the committer.
const LAST_BOOKS: Duration = Duration::from_secs(30);

/// A repair that handles signals, and stores nothing yet.
pub struct PreparedRepair(WatchedProcess);

/// A running repair. It settles what it is given; [`Repair::finish`] waits for that.
pub struct Repair {
    stop: StopSignal,
    event_receiver: Receiver<ProcessEvent>,
    committer: CommitterHandle,
    destination: Destination,
    progress: Arc<RepairProgress>,
    partitions: Vec<TopicPartition>,
    batch_size: usize,
    batch_bytes: usize,
    /// The missing messages that go to the writers next.
    pending: Batch,
    // Its threads run as long as the repair.
    _threads: Threads,
}

/// What a repair has done.
pub struct RepairOutcome {
    /// How the missing messages ended that are settled.
    pub settled: BTreeMap<TopicPartition, SettledCounts>,
    /// In each partition, everything below this offset was audited, and what was missing is settled.
    pub repaired_to: BTreeMap<TopicPartition, Offset>,
    /// Whether everything that the repair was given is settled.
    pub result: Result<(), Failure>,
}

impl PreparedRepair {
    /// From now on a signal asks for a stop. Fails when the system has no thread to give.
    pub fn new(config: &Config, signals: CaughtSignals) -> Result<Self, Failure> {
        WatchedProcess::start(config, signals).map(Self)
    }

    pub fn stop(&self) -> &StopSignal {
        &self.0.stop
    }

    /// Connects to MongoDB and starts the writers. `ranges` is what the audit reads. Fails when MongoDB can't be
    /// used.
    pub fn start(self, config: &Config, ranges: &Ranges) -> Result<Repair, Failure> {
        let WatchedProcess {
            stop,
            mut threads,
            events,
            event_receiver,
        } = self.0;
        let progress = Arc::new(RepairProgress::default());
        let (committer, messages) = CommitterHandle::channel();
        let dispatcher = commit::start(
            &mut threads,
            committer.clone(),
            messages,
            CommitterSettings::new(&config.consumer, PauseSwitch::default()),
            Ownership::Exclusive,
            NothingToCommit,
            Arc::clone(&progress) as Arc<_>,
        )?;
        let destination = Destination::mongodb(
            config,
            Purpose::Repair,
            &mut threads,
            dispatcher,
            events,
            stop.clone(),
        )?;
        let assigned = ranges.iter().map(|(&partition, range)| AssignedPartition {
            partition,
            epoch: EPOCH,
            start: range.start,
            committed: None,
        });
        committer.send(CommitterMessage::Assigned(assigned.collect()));
        Ok(Repair {
            stop,
            event_receiver,
            committer,
            destination,
            progress,
            partitions: ranges.keys().copied().collect(),
            batch_size: config.consumer.batch_size,
            batch_bytes: config.consumer.batch_bytes,
            pending: Batch::new(Instant::now()),
            _threads: threads,
        })
    }
}

impl Repair {
    /// A copy of a message at the end of `batch`, as [`Repair::add`] needs it.
    pub fn copy(message: &ConsumedMessage<'_>, batch: &mut Batch) {
        let id = RecordId {
            partition: message.partition(),
            epoch: EPOCH,
            offset: message.offset(),
        };
        let (key, value) = (message.key(), message.value());
        batch.push(id, message.timestamp(), key, value, message.headers());
    }

    /// Settles the record at `index` of `batch`. The records of a partition must come in the order of their offsets.
    /// Waits while too much is in flight. Fails when nothing can be settled any more.
    pub fn add(&mut self, batch: &mut Batch, index: usize) -> Result<(), Failure> {
        if self.pending.is_empty() {
            self.pending = Batch::new(Instant::now());
        }
        batch.move_to(index, &mut self.pending);
        if self.pending.len() >= self.batch_size || self.pending.bytes() >= self.batch_bytes {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Notes that everything below these offsets was audited, and that everything missing below them was added. Fails
    /// when nothing can be settled any more.
    pub fn audited_to(
        &mut self,
        positions: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), Failure> {
        self.hand_over()?;
        let positions = positions.iter();
        let positions = positions.map(|(&partition, &position)| (partition, EPOCH, position));
        self.committer
            .send(CommitterMessage::PositionsReached(positions.collect()));
        Ok(())
    }

    /// How many of the records that were added are settled.
    pub fn settled(&self) -> u64 {
        self.progress
            .settled()
            .values()
            .map(SettledCounts::sum)
            .sum()
    }

    /// Offers what is pending to the writers, and waits until they take it.
    fn hand_over(&mut self) -> Result<(), Failure> {
        loop {
            self.look_for_failure()?;
            if self.pending.is_empty() {
                return Ok(());
            }
            if self.stop.is_past_deadline() {
                return Err(Failure::running("the time for a stop is over"));
            }
            let batch = mem::replace(&mut self.pending, Batch::new(Instant::now()));
            match self.destination.offer(batch) {
                Ok(()) => return Ok(()),
                Err(batch) => {
                    self.pending = batch;
                    self.destination.wait(SLICE);
                }
            }
        }
    }

    /// While the repair runs, no thread should end, so the end of a thread is a failure even if it returned no error.
    fn look_for_failure(&mut self) -> Result<(), Failure> {
        while let Ok(event) = self.event_receiver.try_recv() {
            match Cause::of(event) {
                None => {}
                Some(Cause::Failure(failure)) => return Err(failure),
                Some(end) => {
                    let cause = Cause::wait(&self.event_receiver, CAUSE_TIMEOUT);
                    let symptom = Failure::running("the repair can't go on");
                    return Err(cause.unwrap_or(end).explain(symptom));
                }
            }
        }
        self.destination.advance()
    }

    /// Waits until everything that was added is settled, or until the time for that is over. `failure` is what ended
    /// the audit early, if anything did.
    pub fn finish(mut self, failure: Option<Failure>) -> RepairOutcome {
        let handed_over = match failure {
            Some(failure) => Err(failure),
            None => self.hand_over(),
        };
        let result = self.settle(handed_over);
        self.close_books();
        let is_all_settled = self.destination.in_flight() == 0 && !self.progress.is_any_abandoned();
        let result = match result {
            Ok(()) if !is_all_settled => {
                let symptom = Failure::running("not everything could be settled");
                let cause = Cause::wait(&self.event_receiver, CAUSE_TIMEOUT);
                Err(match cause {
                    Some(cause) => cause.explain(symptom),
                    None => symptom,
                })
            }
            result => result,
        };
        RepairOutcome {
            settled: self.progress.settled(),
            repaired_to: self.progress.repaired_to(),
            result,
        }
    }

    /// Waits until nothing is in flight. After a failure there is little time for that.
    fn settle(&mut self, mut result: Result<(), Failure>) -> Result<(), Failure> {
        loop {
            if result.is_ok() {
                result = self.look_for_failure();
            }
            if result.is_err() {
                self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
            }
            if self.destination.in_flight() == 0 || self.stop.is_past_deadline() {
                return result;
            }
            self.destination.wait(SLICE);
        }
    }

    /// Makes the committer note how far everything is settled.
    fn close_books(&self) {
        let now = Instant::now();
        let deadlines = RevokeDeadlines {
            drain_until: now,
            commit_until: now + LAST_BOOKS,
        };
        let answer = self.committer.drain(self.partitions.clone(), deadlines);
        // Without an answer the committer has ended, and the books say less than was done: that is safe.
        let _ = answer.recv_timeout(LAST_BOOKS + CAUSE_TIMEOUT);
    }
}
