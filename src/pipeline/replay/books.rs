//! The replay's books: what is in flight, up to where all is settled, and what is committed of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, after};
use log::warn;

use super::super::failure::Failure;
use super::super::in_flight::InFlight;
use super::super::messages::{CommitAnswer, CommitRequest, Settlement, ToCommitter, Weight};
use super::Span;
use crate::core::assignment::Assignment;
use crate::core::offsets::{Commit, OffsetTracker};
use crate::core::partition::{Epoch, Offset, Partition, RecordId};
use crate::core::record::Batch;
use crate::core::run::RecordRun;
use crate::kafka::CommitProblem;

/// How often what is settled is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// The longest that the last commit is waited for.
const LAST_COMMIT: Duration = Duration::from_secs(30);

pub(super) struct Books {
    messages: Receiver<ToCommitter>,
    requests: Sender<CommitRequest>,
    answers: Receiver<CommitAnswer>,
    tracker: OffsetTracker,
    /// Nothing is ever taken from a replay; the writers ask nevertheless.
    pub assignment: Arc<Assignment>,
    epochs: BTreeMap<Partition, Epoch>,
    in_flight: InFlight,
    /// Writers or delivery reports gave records up.
    pub is_any_given_up: bool,
    is_committing: bool,
    asked: Instant,
}

impl Books {
    pub(super) fn new(
        messages: Receiver<ToCommitter>,
        requests: Sender<CommitRequest>,
        answers: Receiver<CommitAnswer>,
        spans: &BTreeMap<Partition, Span>,
        in_flight: InFlight,
    ) -> Self {
        let assignment = Arc::new(Assignment::default());
        let mut tracker = OffsetTracker::default();
        let mut epochs = BTreeMap::new();
        for (&partition, span) in spans {
            let epoch = assignment.begin(partition, span.start);
            tracker.assign(partition, epoch, span.start, span.committed);
            epochs.insert(partition, epoch);
        }
        Self {
            messages,
            requests,
            answers,
            tracker,
            assignment,
            epochs,
            in_flight,
            is_any_given_up: false,
            is_committing: false,
            asked: Instant::now(),
        }
    }

    pub(super) fn id(&self, partition: Partition, offset: Offset) -> Option<RecordId> {
        let epoch = *self.epochs.get(&partition)?;
        Some(RecordId {
            partition,
            epoch,
            offset,
        })
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight.has_room(Weight {
            messages: 1,
            bytes: 0,
        })
    }

    pub(super) fn is_all_settled(&self) -> bool {
        self.in_flight.now().messages == 0
    }

    /// A record that is to be settled.
    pub(super) fn take(&mut self, id: RecordId, weight: Weight, now: Instant) {
        self.tracker.dispatched(RecordRun::of(id), now);
        self.in_flight.add(weight);
    }

    /// These won't be settled by this replay.
    pub(super) fn give_up(&mut self, batch: &Batch) {
        for record in batch.records() {
            self.tracker.abandoned(RecordRun::of(record.id));
            self.in_flight.remove(Weight::of(record));
        }
    }

    /// Everything below `position` was read.
    pub(super) fn pass(&mut self, partition: Partition, position: Offset) {
        if let Some(&epoch) = self.epochs.get(&partition) {
            self.tracker.reached(partition, epoch, position);
        }
    }

    /// Hears what was settled; waits up to `patience` for the first of it.
    pub(super) fn hear(&mut self, patience: Duration, mut settled: impl FnMut(&Settlement)) {
        let first = self.messages.recv_timeout(patience).ok();
        let rest: Vec<ToCommitter> = self.messages.try_iter().collect();
        for message in first.into_iter().chain(rest) {
            match message {
                ToCommitter::Settled(settlement) => {
                    for &run in &settlement.runs {
                        self.tracker.settled(run);
                    }
                    self.in_flight.remove(settlement.weight);
                    settled(&settlement);
                }
                ToCommitter::Abandoned { runs, weight } => {
                    self.is_any_given_up = true;
                    for run in runs {
                        self.tracker.abandoned(run);
                    }
                    self.in_flight.remove(weight);
                }
                // The replayer keeps these books itself, and has no group.
                ToCommitter::Assigned(_)
                | ToCommitter::Dispatched { .. }
                | ToCommitter::Reached(_)
                | ToCommitter::Readable(_)
                | ToCommitter::Revoke(_)
                | ToCommitter::Lost(_) => {}
            }
        }
    }

    /// Commits what is settled, if it is time to; doesn't wait.
    pub(super) fn commit_if_due(&mut self) -> Result<(), Failure> {
        if let Ok(answer) = self.answers.try_recv() {
            self.answered(answer)?;
        }
        if !self.is_committing && self.asked.elapsed() >= COMMIT_INTERVAL {
            self.ask();
        }
        Ok(())
    }

    /// Commits all that is settled, and waits for it.
    pub(super) fn commit_all(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + LAST_COMMIT;
        loop {
            if !self.is_committing {
                if self.tracker.uncommitted().is_empty() {
                    return Ok(());
                }
                self.ask();
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok(answer) => {
                    let failed = answer.result.is_err();
                    self.answered(answer)?;
                    if failed {
                        // The time that passes is all that it brings.
                        let _ = after(COMMIT_INTERVAL.min(left)).recv();
                    }
                }
                Err(_) => {
                    return Err(Failure::Running(
                        "how far the replay came could not be committed: the next one begins \
                         earlier, and finds what it did done already"
                            .to_owned(),
                    ));
                }
            }
        }
    }

    fn ask(&mut self) {
        self.asked = Instant::now();
        let commits: Vec<Commit> = self.tracker.uncommitted();
        if commits.is_empty() {
            return;
        }
        match self.requests.try_send(CommitRequest { commits }) {
            Ok(()) => self.is_committing = true,
            // One request is out at a time, so there is room; that the thread is gone shows at the end.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn answered(&mut self, answer: CommitAnswer) -> Result<(), Failure> {
        self.is_committing = false;
        let Err(error) = answer.result else {
            for commit in answer.commits {
                self.tracker.committed(commit);
            }
            return Ok(());
        };
        match CommitProblem::of(&error) {
            CommitProblem::Passing | CommitProblem::Rebalancing => {
                warn!("how far the replay came could not be committed, trying again: {error}");
                Ok(())
            }
            CommitProblem::NotOurs | CommitProblem::Refused => Err(Failure::Running(format!(
                "Kafka refuses our commits: {error}"
            ))),
        }
    }
}
