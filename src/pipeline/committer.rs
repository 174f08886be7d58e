//! The committer: owns all offset bookkeeping, and says what to commit when. It never waits for a
//! broker: the commit call is the commit thread's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, select};
use log::{debug, warn};

use super::failure::Failure;
use super::in_flight::InFlight;
use super::messages::{
    CommitAnswer, CommitRequest, Drained, Outcome, Revoke, Settlement, ToCommitter, Weight,
};
use crate::core::offsets::{Commit, OffsetTracker};
use crate::core::partition::{Offset, Partition};
use crate::kafka::{CommitProblem, KafkaError};
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

/// How often ages are shown and waits are looked at.
const TICK: Duration = Duration::from_millis(100);

/// While there is much to hear, what comes within this time is heard in one go: to be woken for each message
/// would cost several times what there is to do for it.
const GATHER: Duration = Duration::from_millis(5);

/// How many messages are heard before answers and revokes have their turn.
const HEARD_AT_ONCE: usize = 1024;

pub struct Committer {
    pub messages: Receiver<ToCommitter>,
    pub requests: Sender<CommitRequest>,
    pub answers: Receiver<CommitAnswer>,
    pub in_flight: Arc<InFlight>,
    pub metrics: Arc<MetricsCollector>,
    pub topic: String,
    pub commit_frequency: u64,
    pub commit_interval: Duration,
}

/// What the committer knows while it runs.
struct State {
    committer: Committer,
    tracker: OffsetTracker,
    /// Settled since the last commit was asked for.
    settled: u64,
    last_request: Instant,
    /// A request is out and not answered.
    is_committing: bool,
    revoke: Option<Revoking>,
    /// Up to where each partition could be read when Kafka last said so.
    readable: Vec<(Partition, Offset)>,
    shown: Instant,
    warnings: RateLimited,
}

struct Revoking {
    request: Revoke,
    ask_at: Instant,
    /// The partitions are gone: no commit of ours is taken any more.
    is_refused: bool,
}

impl Committer {
    /// Runs until everyone who could tell it something is gone.
    ///
    /// # Errors
    /// When the group won't let us commit, ever.
    pub fn run(self) -> Result<(), Failure> {
        State {
            committer: self,
            tracker: OffsetTracker::default(),
            settled: 0,
            last_request: Instant::now(),
            is_committing: false,
            revoke: None,
            readable: Vec::new(),
            shown: Instant::now(),
            warnings: RateLimited::default(),
        }
        .run()
    }
}

impl State {
    fn run(mut self) -> Result<(), Failure> {
        let messages = self.committer.messages.clone();
        let answers = self.committer.answers.clone();
        let mut heard = 0;
        loop {
            let mut answer = None;
            if heard == 0 {
                select! {
                    recv(messages) -> message => match message {
                        Ok(message) => self.hear(message),
                        Err(_) => return Ok(()),
                    },
                    recv(answers) -> received => answer = Some(received),
                    default(TICK) => {}
                }
            } else if heard < HEARD_AT_ONCE {
                select! {
                    recv(answers) -> received => answer = Some(received),
                    default(GATHER) => {}
                }
            } else if !answers.is_empty() {
                answer = Some(answers.recv());
            }
            match answer {
                Some(Ok(answer)) => self.answered(answer)?,
                Some(Err(_)) => {
                    return Err(Failure::Running("the commit thread is gone".to_owned()));
                }
                None => {}
            }
            heard = 0;
            for message in messages.try_iter().take(HEARD_AT_ONCE) {
                self.hear(message);
                heard += 1;
            }
            self.committer.in_flight.set_held(self.tracker.held());
            let now = Instant::now();
            if now.duration_since(self.shown) >= TICK {
                self.show(now);
            }
            self.go_on_revoking(now);
            if self.is_due(now) {
                self.ask_commit(now);
            }
        }
    }

    fn hear(&mut self, message: ToCommitter) {
        match message {
            ToCommitter::Assigned(assigned) => {
                for partition in assigned {
                    self.tracker.assign(
                        partition.partition,
                        partition.epoch,
                        partition.start,
                        partition.committed,
                    );
                }
            }
            ToCommitter::Dispatched { runs, taken_at } => {
                for run in runs {
                    self.tracker.dispatched(run, taken_at);
                }
            }
            ToCommitter::Settled(settlement) => self.settle(settlement),
            ToCommitter::Abandoned { runs, weight } => {
                for run in runs {
                    self.tracker.abandoned(run);
                }
                self.release(weight);
            }
            ToCommitter::Reached(positions) => {
                for (partition, epoch, position) in positions {
                    self.tracker.reached(partition, epoch, position);
                }
            }
            ToCommitter::Readable(readable) => self.readable = readable,
            ToCommitter::Revoke(request) => {
                self.revoke = Some(Revoking {
                    request,
                    ask_at: Instant::now(),
                    is_refused: false,
                });
            }
            ToCommitter::Lost(partitions) => self.forget(&partitions),
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        let Settlement {
            runs,
            outcome,
            weight,
            taken_at,
        } = settlement;
        for run in runs {
            self.tracker.settled(run);
        }
        self.release(weight);
        let count = u64::try_from(weight.messages).unwrap_or(u64::MAX);
        self.settled += count;
        let metrics = &self.committer.metrics;
        metrics.increment_messages_processed(count);
        match outcome {
            Outcome::Stored => metrics.increment_messages_stored(count),
            Outcome::Replayed => metrics.increment_messages_already_stored(count),
            Outcome::DeadLettered(reason) => {
                metrics.increment_processing_errors(reason.as_str(), count);
                metrics.increment_dead_letters(reason.as_str(), count);
            }
        }
        metrics.observe_processing_times(taken_at.elapsed().as_secs_f64(), weight.messages);
    }

    fn release(&self, weight: Weight) {
        self.committer.in_flight.remove(weight);
        let now = self.committer.in_flight.now();
        self.committer.metrics.set_in_flight_messages(now.messages);
        self.committer.metrics.set_in_flight_bytes(now.bytes);
    }

    fn show(&mut self, now: Instant) {
        self.shown = now;
        let Committer { metrics, topic, .. } = &self.committer;
        metrics.set_oldest_in_flight_since(self.tracker.oldest_in_flight());
        for &(partition, end) in &self.readable {
            if let Some(committable) = self.tracker.committable(partition) {
                let lag = i64::try_from(end.since(committable)).unwrap_or(i64::MAX);
                metrics.set_lag(topic, partition.0, lag);
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        if self.is_committing {
            return false;
        }
        let waited = now.duration_since(self.last_request);
        self.settled >= self.committer.commit_frequency
            || waited >= self.committer.commit_interval
            || (waited >= TICK && self.tracker.has_never_committed())
    }

    fn ask_commit(&mut self, now: Instant) {
        let commits = self.tracker.uncommitted();
        self.settled = 0;
        self.last_request = now;
        if !commits.is_empty() {
            self.ask(commits);
        }
    }

    /// One request is out at a time, so the channel of one has room.
    fn ask(&mut self, commits: Vec<Commit>) {
        match self.committer.requests.try_send(CommitRequest { commits }) {
            Ok(()) => self.is_committing = true,
            // The next tick asks again; that the thread is gone shows at its answers.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn answered(&mut self, answer: CommitAnswer) -> Result<(), Failure> {
        self.is_committing = false;
        let metrics = &self.committer.metrics;
        if answer.commits.is_empty() {
            return Ok(());
        }
        metrics.observe_offset_commit_time(answer.took);
        match answer.result {
            Ok(()) => {
                for commit in answer.commits {
                    if self.tracker.committed(commit) {
                        metrics.set_committed_offset(
                            &self.committer.topic,
                            commit.partition.0,
                            commit.offset.0,
                        );
                    }
                }
                Ok(())
            }
            Err(error) => self.commit_failed(&error),
        }
    }

    fn commit_failed(&mut self, error: &KafkaError) -> Result<(), Failure> {
        match CommitProblem::of(error) {
            CommitProblem::NotOurs => {
                debug!("a commit came too late: {error}");
                if let Some(revoking) = &mut self.revoke {
                    revoking.is_refused = true;
                }
                Ok(())
            }
            CommitProblem::Rebalancing => {
                debug!("a commit fell into a rebalance: {error}");
                Ok(())
            }
            CommitProblem::Passing => {
                self.committer.metrics.increment_offset_commit_failures();
                if let Some(suppressed) = self.warnings.admit(Instant::now()) {
                    warn!(suppressed; "offsets could not be committed, trying again: {error}");
                }
                Ok(())
            }
            CommitProblem::Refused => {
                self.committer.metrics.increment_offset_commit_failures();
                Err(Failure::Running(format!(
                    "Kafka refuses our commits: {error}"
                )))
            }
        }
    }

    /// Waits for what is in flight, then commits, again where that fails, until the time is up.
    fn go_on_revoking(&mut self, now: Instant) {
        let Some(mut revoking) = self.revoke.take() else {
            return;
        };
        let partitions = &revoking.request.partitions;
        let left: usize = partitions.iter().map(|&p| self.tracker.in_flight(p)).sum();
        let is_over = now >= revoking.request.commit_until || revoking.is_refused;
        let may_ask = left == 0 || now >= revoking.request.drain_until;
        if is_over || (may_ask && !self.is_committing) {
            let mut commits = self.tracker.uncommitted();
            commits.retain(|commit| partitions.contains(&commit.partition));
            let is_committed = commits.is_empty();
            if is_over || is_committed {
                self.forget(&revoking.request.partitions);
                // The callback may have stopped waiting: it is past its time then.
                let _ = revoking
                    .request
                    .done
                    .try_send(Drained { left, is_committed });
                return;
            }
            if now >= revoking.ask_at {
                self.ask(commits);
                revoking.ask_at = now + TICK;
            }
        }
        self.revoke = Some(revoking);
    }

    fn forget(&mut self, partitions: &[Partition]) {
        for &partition in partitions {
            self.tracker.forget(partition);
        }
        // A callback that waits for a partition that was lost meanwhile ends with it.
        if let Some(revoking) = &mut self.revoke {
            revoking
                .request
                .partitions
                .retain(|partition| !partitions.contains(partition));
        }
    }
}

/// What the commit thread does: one commit at a time, for as long as a broker takes.
pub struct CommitThread<C> {
    pub requests: Receiver<CommitRequest>,
    pub answers: Sender<CommitAnswer>,
    /// Filters by the current assignment immediately before the call, and makes it; `None` when the
    /// consumer is closed.
    pub commit: C,
}

impl<C: Fn(Vec<Commit>) -> Option<CommitAnswer>> CommitThread<C> {
    /// Runs until the committer is gone.
    pub fn run(self) {
        for CommitRequest { commits } in self.requests {
            let nothing = CommitAnswer {
                commits: Vec::new(),
                result: Ok(()),
                took: Duration::ZERO,
            };
            let answer = (self.commit)(commits).unwrap_or(nothing);
            if self.answers.send(answer).is_err() {
                break;
            }
        }
    }
}
