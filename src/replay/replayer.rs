//! The replay's loop: reads the dead letters, selects some, hands them over, waits until they are settled, and commits.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::cause::Cause;
use super::destination::Destination;
use super::progress::{ReplayProgress, ReplayTally, Show};
use super::request::ReplayRequest;
use super::selection::select_letter;
use crate::commit::{CommitterHandle, CommitterMessage, Drained};
use crate::config;
use crate::core::dead_letter::ReplayDecision;
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::core::record::Batch;
use crate::core::time_limits::RevokeDeadlines;
use crate::failure::Failure;
use crate::kafka::{ConsumedMessage, Next, ReadError, TopicReader};
use crate::runtime::{ProcessEvent, StopSignal};

/// A replay never loses a partition and gets it back: one epoch is enough.
pub(super) const EPOCH: Epoch = Epoch(0);

/// The longest wait for one event, except for the answer to the last commit.
const SLICE: Duration = Duration::from_millis(50);

/// After a failure, what is in flight may still be settled for this long.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long after a symptom its cause may still be reported.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest wait for the last commit.
const LAST_COMMIT: Duration = Duration::from_secs(30);

/// The committer is told of the positions after this many letters, even if none of them was selected.
const REPORT_AFTER: usize = 1000;

pub(super) struct Replayer<'a> {
    request: &'a ReplayRequest,
    ends: BTreeMap<TopicPartition, Offset>,
    committer: CommitterHandle,
    destination: Destination,
    progress: Arc<ReplayProgress>,
    event_receiver: Receiver<ProcessEvent>,
    stop: StopSignal,
    batch_size: usize,
    batch_bytes: usize,
    phase: Phase,
    /// The selected letters that go to the destination next.
    pending: Batch,
    /// The pending letters are to be handed over before the next letter is read.
    is_due: bool,
    /// How far each partition is read, where the committer wasn't told of it yet.
    positions: BTreeMap<TopicPartition, Offset>,
    /// Letters read since the positions were last reported.
    unreported: usize,
    /// The first failure.
    failure: Option<Failure>,
}

enum Phase {
    Reading,
    /// Nothing is read any more. What was read is handed over and settled.
    Settling,
    /// Everything that is settled is being committed.
    Committing {
        answer: Receiver<Drained>,
    },
    /// With the committer's answer, if there was one.
    Ended {
        drained: Option<Drained>,
    },
}

/// What the replayer waits for.
enum Event<'r> {
    Process(ProcessEvent),
    Letter(ConsumedMessage<'r>),
    /// No letter came for a while, or the destination has no room yet.
    Nothing,
    /// All letters up to the end are read.
    EndReached,
    ReadFailed(ReadError),
    /// A signal came before the end was reached.
    Interrupted,
    /// All that was read is settled or given up, or the time for it is over.
    SettlingEnded,
    /// The committer's answer. `None` if the committer has ended or the time is up.
    CommittingEnded(Option<Drained>),
}

impl<'a> Replayer<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "each part is handed over to the replayer here"
    )]
    pub(super) fn new(
        request: &'a ReplayRequest,
        ends: BTreeMap<TopicPartition, Offset>,
        committer: CommitterHandle,
        destination: Destination,
        progress: Arc<ReplayProgress>,
        event_receiver: Receiver<ProcessEvent>,
        stop: StopSignal,
        config: &config::Consumer,
    ) -> Self {
        Self {
            request,
            ends,
            committer,
            destination,
            progress,
            event_receiver,
            stop,
            batch_size: config.batch_size,
            batch_bytes: config.batch_bytes,
            phase: Phase::Reading,
            pending: Batch::new(Instant::now()),
            is_due: false,
            positions: BTreeMap::new(),
            unreported: 0,
            failure: None,
        }
    }

    /// Runs until everything up to the end, the limit or the stop is read, settled and committed. Fails when
    /// something is left for another reason than a signal.
    pub(super) fn run(
        mut self,
        reader: &mut TopicReader,
        tally: &mut ReplayTally,
        show: Show<'_>,
    ) -> Result<(), Failure> {
        while let Some(event) = self.next_event(reader) {
            self.handle_event(event, tally);
            self.hand_over();
            tally.settled = self.progress.settled();
            show(tally);
        }
        self.end(tally)
    }

    /// The events of the threads come first. `None`: the replay is at its end.
    fn next_event<'r>(&self, reader: &'r mut TopicReader) -> Option<Event<'r>> {
        if let Phase::Ended { .. } = self.phase {
            return None;
        }
        if let Ok(event) = self.event_receiver.try_recv() {
            return Some(Event::Process(event));
        }
        Some(match &self.phase {
            Phase::Reading if self.stop.is_stopping() => Event::Interrupted,
            Phase::Reading if self.is_due => self.wait_for_destination(),
            Phase::Reading => match reader.next(SLICE) {
                Ok(Next::Record(letter)) => Event::Letter(letter),
                Ok(Next::Nothing) => Event::Nothing,
                Ok(Next::End) => Event::EndReached,
                Err(error) => Event::ReadFailed(error),
            },
            Phase::Settling => {
                let is_all_settled = self.pending.is_empty() && self.destination.in_flight() == 0;
                if is_all_settled || self.stop.is_past_deadline() {
                    Event::SettlingEnded
                } else {
                    self.wait_for_destination()
                }
            }
            Phase::Committing { answer } => select! {
                recv(answer) -> answer => Event::CommittingEnded(answer.ok()),
                // The channel can't be disconnected: `Threads` holds a sender for the whole replay.
                recv(self.event_receiver) -> event => event.map_or(Event::Nothing, Event::Process),
                // The committer answers at `LAST_COMMIT` at the latest. This is for the case that it doesn't.
                default(LAST_COMMIT + CAUSE_TIMEOUT) => Event::CommittingEnded(None),
            },
            Phase::Ended { .. } => Event::Nothing,
        })
    }

    fn wait_for_destination<'r>(&self) -> Event<'r> {
        self.destination.wait(SLICE);
        Event::Nothing
    }

    fn handle_event(&mut self, event: Event<'_>, tally: &mut ReplayTally) {
        match event {
            Event::Process(event) => self.process_event(event),
            Event::Letter(letter) => {
                let decision = select_letter(self.request, &letter, tally);
                if tally.is_limited {
                    self.stop_reading();
                } else {
                    tally.count(decision);
                    self.take(&letter, decision);
                }
            }
            Event::Nothing => self.is_due = true,
            Event::EndReached => {
                self.positions.extend(self.ends.clone());
                self.stop_reading();
            }
            Event::ReadFailed(error) => self.fail(error.into()),
            Event::Interrupted => {
                tally.is_interrupted = true;
                self.stop_reading();
            }
            Event::SettlingEnded => self.commit(),
            Event::CommittingEnded(drained) => self.phase = Phase::Ended { drained },
        }
    }

    /// While the replay runs, no thread should end, so the end of a thread is a failure even if it returned no error.
    fn process_event(&mut self, event: ProcessEvent) {
        let failure = match Cause::of(event) {
            None => return,
            Some(Cause::Failure(failure)) => failure,
            Some(end) => {
                let cause = Cause::wait(&self.event_receiver, CAUSE_TIMEOUT);
                let symptom = Failure::running("the replay can't go on");
                cause.unwrap_or(end).explain(symptom)
            }
        };
        self.fail(failure);
    }

    /// Notes the failure and stops reading. What is in flight may still be settled, and what is settled is committed.
    /// What is pending stays in the dead letter topic.
    fn fail(&mut self, failure: Failure) {
        self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
        self.failure.get_or_insert(failure);
        self.pending = Batch::new(Instant::now());
        self.positions.clear();
        self.stop_reading();
    }

    fn stop_reading(&mut self) {
        self.is_due = true;
        if matches!(self.phase, Phase::Reading) {
            self.phase = Phase::Settling;
        }
    }

    fn take(&mut self, letter: &ConsumedMessage<'_>, decision: ReplayDecision) {
        let (partition, offset) = (letter.partition(), letter.offset());
        self.positions.insert(partition, offset.next());
        self.unreported += 1;
        if let ReplayDecision::Take(replay) = decision {
            if self.pending.is_empty() {
                self.pending = Batch::new(Instant::now());
            }
            let id = RecordId {
                partition,
                epoch: EPOCH,
                offset,
            };
            self.pending
                .push_replay(id, replay, letter.key(), letter.value(), letter.headers());
        }
        self.is_due |= self.pending.len() >= self.batch_size
            || self.pending.bytes() >= self.batch_bytes
            || self.unreported >= REPORT_AFTER;
    }

    /// Lets the destination go on, and offers it the pending letters if they are due. Once it has taken them, tells the
    /// committer how far each partition is read. After a stop's deadline nothing is handed over any more.
    fn hand_over(&mut self) {
        if matches!(self.phase, Phase::Committing { .. } | Phase::Ended { .. }) {
            return;
        }
        if let Err(failure) = self.destination.advance() {
            self.fail(failure);
        }
        if !self.is_due || self.stop.is_past_deadline() {
            return;
        }
        if !self.pending.is_empty() {
            let batch = mem::replace(&mut self.pending, Batch::new(Instant::now()));
            if let Err(batch) = self.destination.offer(batch) {
                self.pending = batch;
                return;
            }
        }
        self.is_due = false;
        self.report_positions();
    }

    /// May be called only while nothing is pending, because every letter below the positions must be handed over.
    fn report_positions(&mut self) {
        self.unreported = 0;
        let positions: Vec<_> = mem::take(&mut self.positions)
            .into_iter()
            .map(|(partition, position)| (partition, EPOCH, position))
            .collect();
        if !positions.is_empty() {
            self.committer
                .send(CommitterMessage::PositionsReached(positions));
        }
    }

    /// Asks the committer to commit everything that is settled.
    fn commit(&mut self) {
        let now = Instant::now();
        let deadlines = RevokeDeadlines {
            drain_until: now,
            commit_until: now + LAST_COMMIT,
        };
        let partitions = self.ends.keys().copied().collect();
        let answer = self.committer.drain(partitions, deadlines);
        self.phase = Phase::Committing { answer };
    }

    /// The result of the replay.
    fn end(self, tally: &mut ReplayTally) -> Result<(), Failure> {
        let drained = match self.phase {
            Phase::Ended { drained } => drained,
            Phase::Reading | Phase::Settling | Phase::Committing { .. } => None,
        };
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        // Without a failure, only a signal stops a replay.
        let is_interrupted = self.stop.is_stopping();
        let is_any_abandoned = self.progress.is_any_abandoned();
        let is_any_in_flight = drained.is_some_and(|drained| drained.unsettled > 0);
        if is_any_abandoned || is_any_in_flight || !self.pending.is_empty() {
            tally.is_interrupted |= is_interrupted;
            let symptom =
                Failure::running("not everything could be settled: run the same command again");
            let cause = is_any_abandoned.then(|| Cause::wait(&self.event_receiver, CAUSE_TIMEOUT));
            match cause.flatten() {
                Some(cause) => return Err(cause.explain(symptom)),
                None if is_interrupted => {}
                None => return Err(symptom),
            }
        }
        if drained.is_some_and(|drained| drained.is_committed) {
            return Ok(());
        }
        let symptom = Failure::running(
            "the progress of this replay could not be committed: the next replay begins earlier and repeats a \
             part of this one",
        );
        Err(match Cause::wait(&self.event_receiver, CAUSE_TIMEOUT) {
            Some(cause) => cause.explain(symptom),
            None => symptom,
        })
    }
}
