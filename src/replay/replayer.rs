//! The replay's own loop: reads the dead letters, selects, hands over, and waits for their end.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::destination::Destination;
use super::progress::{ReplayProgress, ReplayTally};
use super::request::ReplayRequest;
use crate::commit::{CommitterHandle, CommitterMessage};
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

/// The longest that one turn of the loop waits.
const SLICE: Duration = Duration::from_millis(50);

/// After a failure, what is in flight may still be settled for so long.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// The reason for giving a letter up may come so long after the letter was given up.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest that the last commit is waited for.
const LAST_COMMIT: Duration = Duration::from_secs(30);

/// The progress is reported after so many letters, if nothing was taken meanwhile.
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
    /// What goes to the destination next.
    pending: Batch,
    /// How far each partition is read, as far as that was not reported yet.
    positions: BTreeMap<TopicPartition, Offset>,
    /// Letters read since the positions were last reported.
    unreported: usize,
}

type Show<'a> = &'a mut dyn FnMut(&ReplayTally);

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
            pending: Batch::new(Instant::now()),
            positions: BTreeMap::new(),
            unreported: 0,
        }
    }

    pub(super) fn run(
        mut self,
        reader: &mut TopicReader,
        tally: &mut ReplayTally,
        show: Show<'_>,
    ) -> Result<(), Failure> {
        let read = self.read_all(reader, tally, show);
        if read.is_err() {
            self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
        }
        let settled = self.settle_all(tally, show);
        let reason = self.why_abandoned(tally);
        let committed = self.commit_all();
        tally.settled = self.progress.settled();
        read.and(settled).and(reason).and(committed)
    }

    /// Reads up to the end, the limit or the stop, and hands everything over.
    fn read_all(
        &mut self,
        reader: &mut TopicReader,
        tally: &mut ReplayTally,
        show: Show<'_>,
    ) -> Result<(), Failure> {
        loop {
            self.turn(tally, show)?;
            if self.stop.is_stopping() {
                tally.is_interrupted = true;
                return self.hand_over(tally, show);
            }
            match reader.next(SLICE).map_err(unreachable)? {
                Next::Record(letter) => {
                    let decision = decide(self.request, &letter, tally);
                    if tally.is_limited {
                        drop(letter);
                        return self.hand_over(tally, show);
                    }
                    tally.count(decision);
                    self.take(&letter, decision);
                    let is_full = self.pending.len() >= self.batch_size
                        || self.pending.bytes() >= self.batch_bytes;
                    if is_full || self.unreported >= REPORT_AFTER {
                        self.hand_over(tally, show)?;
                    }
                }
                Next::Nothing => self.hand_over(tally, show)?,
                Next::End => {
                    self.positions.extend(self.ends.clone());
                    return self.hand_over(tally, show);
                }
            }
        }
    }

    fn take(&mut self, letter: &ConsumedMessage<'_>, decision: ReplayDecision) {
        let (partition, offset) = (letter.partition(), letter.offset());
        self.positions.insert(partition, offset.next());
        self.unreported += 1;
        let ReplayDecision::Take(replay) = decision else {
            return;
        };
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

    /// Hands over what is pending, without a limit in time; after a stop, until its deadline. Then reports how
    /// far everything is read.
    fn hand_over(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        while !self.pending.is_empty() {
            if self.stop.is_past_deadline() {
                return Ok(());
            }
            let batch = mem::replace(&mut self.pending, Batch::new(Instant::now()));
            if let Err(batch) = self.destination.offer(batch) {
                self.pending = batch;
                self.wait(tally, show)?;
            }
        }
        self.report_positions();
        Ok(())
    }

    /// Every letter below the positions was handed over: nothing is pending.
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

    /// Waits for the end of what is in flight; after a stop, until its deadline.
    fn settle_all(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        let mut result = Ok(());
        while self.destination.in_flight() > 0 && !self.stop.is_past_deadline() {
            if let Err(failure) = self.wait(tally, show) {
                self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
                result = result.and(Err(failure));
            }
        }
        result
    }

    /// Commits everything that is settled, and waits for it.
    fn commit_all(&self) -> Result<(), Failure> {
        let now = Instant::now();
        let deadlines = RevokeDeadlines {
            drain_until: now,
            commit_until: now + LAST_COMMIT,
        };
        let partitions = self.ends.keys().copied().collect();
        let drained = self.committer.drain(partitions, deadlines);
        match drained.recv_deadline(deadlines.commit_until + REASON_TIMEOUT) {
            Ok(drained) if drained.is_committed => Ok(()),
            Ok(_) | Err(_) => {
                self.event_receiver.try_iter().try_for_each(failure_of)?;
                Err(Failure::running(
                    "how far the replay came could not be committed: the next one begins earlier, and \
                     finds what this one did done already",
                ))
            }
        }
    }

    /// A record is reported as abandoned first, and the reason follows.
    fn why_abandoned(&self, tally: &ReplayTally) -> Result<(), Failure> {
        if !self.progress.is_any_abandoned() {
            return Ok(());
        }
        let event = self.event_receiver.recv_timeout(REASON_TIMEOUT);
        event.map_or(Ok(()), failure_of)?;
        if tally.is_interrupted {
            return Ok(());
        }
        Err(Failure::running(
            "not everything could be settled: run the same command again",
        ))
    }

    fn wait(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        self.destination.wait(SLICE);
        self.turn(tally, show)
    }

    /// Shows the progress, and looks whether anything has failed.
    fn turn(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        tally.settled = self.progress.settled();
        show(tally);
        self.destination.advance()?;
        self.event_receiver.try_recv().map_or(Ok(()), failure_of)
    }
}

fn failure_of(event: ProcessEvent) -> Result<(), Failure> {
    match event {
        ProcessEvent::Failed(failure) => Err(failure),
        ProcessEvent::ThreadEnded { thread, result } => {
            let ended = || Failure::running(format!("thread `{thread}` ended by itself"));
            Err(result.err().unwrap_or_else(ended))
        }
        ProcessEvent::StopRequested => Ok(()),
    }
}

/// What is to be done with a dead letter. Notes in the tally if it is one more than the limit.
fn decide(
    request: &ReplayRequest,
    letter: &ConsumedMessage<'_>,
    tally: &mut ReplayTally,
) -> ReplayDecision {
    let written_at = letter.timestamp().instant();
    let decision = request
        .criteria
        .decide(&letter.dead_letter_headers(), written_at);
    if let (ReplayDecision::Take(_), Some(limit)) = (decision, request.limit) {
        tally.is_limited = tally.selected >= limit;
    }
    decision
}

/// Reads like a replay, and does nothing else.
pub(super) fn count(
    reader: &mut TopicReader,
    request: &ReplayRequest,
    stop: &StopSignal,
    tally: &mut ReplayTally,
    show: Show<'_>,
) -> Result<(), Failure> {
    while !stop.is_stopping() {
        show(tally);
        match reader.next(SLICE).map_err(unreachable)? {
            Next::Record(letter) => {
                let decision = decide(request, &letter, tally);
                if tally.is_limited {
                    return Ok(());
                }
                tally.count(decision);
            }
            Next::Nothing => {}
            Next::End => return Ok(()),
        }
    }
    tally.is_interrupted = true;
    Ok(())
}

pub(super) fn unreachable(error: impl Into<ReadError>) -> Failure {
    Failure::kafka_unreachable().because(error.into())
}
