//! The committer owns all offset bookkeeping and decides what to commit when. It never waits for a broker:
//! the commit thread makes the call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, select};
use log::{Level, debug, warn};

use super::commit_thread::CommitAnswer;
use super::in_flight::InFlight;
use super::messages::{CommitterMessage, DrainRequest, Drained, Settlement};
use super::new_logs::NewLogs;
use super::observer::CommitObserver;
use super::settings::CommitterSettings;
use super::view::OffsetView;
use crate::core::commit_schedule::CommitSchedule;
use crate::core::drain::{DrainProgress, DrainStep};
use crate::core::offset_tracker::{Arrival, Commit, OffsetTracker};
use crate::core::partition::TopicPartition;
use crate::core::record::Weight;
use crate::failure::Failure;
use crate::kafka::{CommitError, CommitErrorClass};
use crate::observe::log::RateLimited;

/// How often the observer is told of ages and lags, and the longest wait before the committer checks its deadlines.
const TICK: Duration = Duration::from_millis(100);

/// After a message, the committer waits this long, and then handles all messages that have arrived. Waking up for
/// each message would cost several times as much as handling it.
const GATHER: Duration = Duration::from_millis(5);

/// How many messages are handled before commit answers are handled and deadlines are checked.
const MESSAGES_PER_TURN: usize = 1024;

#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
pub struct Committer {
    messages: Receiver<CommitterMessage>,
    requests: Sender<Vec<Commit>>,
    answers: Receiver<CommitAnswer>,
    in_flight: Arc<InFlight>,
    observer: Arc<dyn CommitObserver>,
    tracker: OffsetTracker,
    new_logs: NewLogs,
    schedule: CommitSchedule,
    /// A commit was requested and isn't answered yet.
    is_committing: bool,
    drain: Option<Drain>,
    /// As [`CommitterSettings::repeats_at_drain`].
    repeats_at_drain: bool,
    view: OffsetView,
    /// The last commit failed.
    is_commit_failing: bool,
    shown_at: Instant,
    /// Messages received since the last wait.
    received: usize,
    /// Messages were received since the deadlines were last checked.
    is_turn_open: bool,
    warnings: RateLimited,
}

/// What the committer waits for.
enum Event {
    Message(CommitterMessage),
    CommitAnswered(CommitAnswer),
    /// All waiting messages were handled, or some time has passed: it is time to check the deadlines.
    Tick,
    CommitThreadGone,
}

/// A drain that has not ended.
struct Drain {
    request: DrainRequest,
    next_attempt: Instant,
    /// A commit was requested for this drain.
    has_requested: bool,
    /// Partitions whose offset has not moved, and is to be committed again, because the text beside it has changed.
    to_repeat: Vec<TopicPartition>,
    /// The partitions belong to another member: no commit of ours is accepted any more.
    is_refused: bool,
}

impl Committer {
    pub fn new(
        messages: Receiver<CommitterMessage>,
        requests: Sender<Vec<Commit>>,
        answers: Receiver<CommitAnswer>,
        in_flight: Arc<InFlight>,
        observer: Arc<dyn CommitObserver>,
        settings: CommitterSettings,
    ) -> Self {
        let now = Instant::now();
        let view = OffsetView::new(
            Arc::clone(&observer),
            settings.stalled_after,
            settings.pause,
        );
        Self {
            messages,
            requests,
            answers,
            in_flight,
            observer,
            tracker: OffsetTracker::default(),
            new_logs: NewLogs::default(),
            schedule: CommitSchedule::new(
                settings.commit_frequency,
                settings.commit_interval,
                TICK,
                now,
            ),
            is_committing: false,
            drain: None,
            repeats_at_drain: settings.repeats_at_drain,
            view,
            is_commit_failing: false,
            shown_at: now,
            received: 0,
            is_turn_open: false,
            warnings: RateLimited::new(Level::Warn, "offsets could not be committed, trying again"),
        }
    }

    /// Runs until no sender of messages is left. Fails when Kafka refuses commits until an operator acts, or when the
    /// commit thread has ended.
    pub fn run(mut self) -> Result<(), Failure> {
        while let Some(event) = self.next_event() {
            self.handle_event(event)?;
        }
        Ok(())
    }

    /// Messages that have arrived already come first, up to a limit. Then comes a tick for the deadlines. Only then
    /// does the committer wait.
    ///
    /// `None`: no sender of messages is left.
    fn next_event(&mut self) -> Option<Event> {
        if self.received < MESSAGES_PER_TURN {
            match self.messages.try_recv() {
                Ok(message) => {
                    self.received += 1;
                    self.is_turn_open = true;
                    return Some(Event::Message(message));
                }
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
        }
        if std::mem::take(&mut self.is_turn_open) {
            return Some(Event::Tick);
        }
        self.wait_for_event()
    }

    fn wait_for_event(&mut self) -> Option<Event> {
        let gather = match std::mem::take(&mut self.received) {
            0 => None,
            MESSAGES_PER_TURN => Some(Duration::ZERO),
            _ => Some(GATHER),
        };
        let answered = |answer| match answer {
            Ok(answer) => Some(Event::CommitAnswered(answer)),
            Err(_) => Some(Event::CommitThreadGone),
        };
        if let Some(gather) = gather {
            return select! {
                recv(self.answers) -> answer => answered(answer),
                default(gather) => Some(Event::Tick),
            };
        }
        select! {
            recv(self.messages) -> message => match message {
                Ok(message) => {
                    self.is_turn_open = true;
                    Some(Event::Message(message))
                }
                Err(_) => None,
            },
            recv(self.answers) -> answer => answered(answer),
            default(TICK) => Some(Event::Tick),
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) => self.handle_message(message),
            Event::CommitAnswered(answer) => {
                self.commit_answered(answer)?;
                self.look_at_deadlines();
            }
            Event::Tick => self.look_at_deadlines(),
            Event::CommitThreadGone => {
                return Err(Failure::running("the commit thread is gone"));
            }
        }
        Ok(())
    }

    fn look_at_deadlines(&mut self) {
        self.in_flight.set_tracked(self.tracker.tracked());
        let now = Instant::now();
        if now.duration_since(self.shown_at) >= TICK {
            self.shown_at = now;
            let is_commit_pending = self.is_committing || self.is_commit_failing;
            self.view.show(now, &self.tracker, is_commit_pending);
        }
        self.continue_drain(now);
        let lacks_first_commit = || self.tracker.has_never_committed() || !self.new_logs.is_empty();
        if !self.is_committing && self.schedule.is_due(now, lacks_first_commit) {
            self.request_due_commits(now);
        }
    }

    fn handle_message(&mut self, message: CommitterMessage) {
        match message {
            CommitterMessage::Assigned(partitions) => {
                for assigned in partitions {
                    self.view.end_wait(assigned.partition);
                    if let Some(committed) = assigned.committed {
                        self.observer.committed(assigned.partition, committed);
                    }
                    self.new_logs.forget(assigned.partition);
                    self.tracker.assign(
                        assigned.partition,
                        assigned.epoch,
                        assigned.start,
                        assigned.committed,
                    );
                }
            }
            CommitterMessage::Dispatched { runs, taken_at } => {
                for (run, written_at) in runs {
                    let arrival = Arrival {
                        taken_at,
                        written_at,
                    };
                    self.tracker.dispatched(run, arrival);
                }
            }
            CommitterMessage::Settled(settlement) => self.settle(&settlement),
            CommitterMessage::Abandoned { runs, weight } => {
                for run in runs {
                    self.tracker.abandoned(run);
                }
                // Reported before the room is released: a replay waits until nothing is in flight, and then asks
                // whether anything was abandoned.
                self.observer.abandoned(weight);
                self.release(weight);
            }
            CommitterMessage::PositionsReached(positions) => {
                for (partition, epoch, position) in positions {
                    self.tracker.position_reached(partition, epoch, position);
                }
            }
            CommitterMessage::EndOffsets(end_offsets) => self.view.set_end_offsets(end_offsets),
            CommitterMessage::WaitingForStart(partitions) => self.view.wait_for_start(partitions),
            CommitterMessage::Recreated(partitions) => {
                for (partition, epoch) in partitions {
                    self.forget(&[partition]);
                    self.new_logs.add(partition, epoch);
                }
            }
            CommitterMessage::Drain(request) => {
                let to_repeat = if self.repeats_at_drain {
                    request.partitions.clone()
                } else {
                    Vec::new()
                };
                self.drain = Some(Drain {
                    request,
                    next_attempt: Instant::now(),
                    has_requested: false,
                    to_repeat,
                    is_refused: false,
                });
            }
            CommitterMessage::Lost(partitions) => self.forget(&partitions),
        }
    }

    fn settle(&mut self, settlement: &Settlement) {
        for &run in &settlement.runs {
            self.tracker.settled(run);
        }
        self.release(settlement.weight);
        let count = u64::try_from(settlement.weight.messages).unwrap_or(u64::MAX);
        self.schedule.records_settled(count);
        self.observer.settled(settlement);
    }

    fn release(&self, weight: Weight) {
        self.in_flight.remove(weight);
        self.observer.in_flight_changed(self.in_flight.now());
    }

    fn request_due_commits(&mut self, now: Instant) {
        self.schedule.commit_requested(now);
        let commits = self.uncommitted();
        if !commits.is_empty() {
            self.request(commits);
        }
    }

    fn uncommitted(&self) -> Vec<Commit> {
        let of_records = self.tracker.uncommitted().into_iter();
        of_records.chain(self.new_logs.due()).collect()
    }

    /// There is at most one unanswered request, so the channel, which holds one, has room.
    fn request(&mut self, commits: Vec<Commit>) {
        match self.requests.try_send(commits) {
            Ok(()) => self.is_committing = true,
            // A later tick requests the commit again. If the commit thread is gone, the channel of its answers is
            // disconnected, and `wait_for_event` notices that.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn commit_answered(&mut self, answer: CommitAnswer) -> Result<(), Failure> {
        self.is_committing = false;
        if answer.commits.is_empty() {
            // None of the partitions is ours any more.
            self.is_commit_failing = false;
            return Ok(());
        }
        self.observer.commit_took(answer.took);
        if let Err(error) = answer.result {
            return self.commit_failed(error);
        }
        self.is_commit_failing = false;
        for commit in answer.commits {
            if let Some(drain) = self.drain.as_mut().filter(|drain| drain.has_requested) {
                drain
                    .to_repeat
                    .retain(|&partition| partition != commit.partition);
            }
            self.new_logs.committed(commit);
            if self.tracker.committed(commit) {
                self.observer.committed(commit.partition, commit.offset);
            }
        }
        Ok(())
    }

    fn commit_failed(&mut self, error: CommitError) -> Result<(), Failure> {
        self.is_commit_failing = true;
        match error.class() {
            CommitErrorClass::NotOurs => {
                debug!("a commit came too late: {error}");
                // The refusal of a commit from before the drain says nothing about the drain's own commit.
                if let Some(drain) = &mut self.drain {
                    drain.is_refused = drain.has_requested;
                }
                Ok(())
            }
            CommitErrorClass::Rebalancing => {
                debug!("a rebalance interrupted a commit: {error}");
                Ok(())
            }
            CommitErrorClass::Retriable => {
                self.observer.commit_failed();
                if let Some(suppressed) = self.warnings.admit(Instant::now()) {
                    warn!(suppressed; "offsets could not be committed, trying again: {error}");
                }
                Ok(())
            }
            CommitErrorClass::Refused => {
                self.observer.commit_failed();
                let message = "Kafka refuses our commits";
                let failure = if error.is_authorization() {
                    Failure::kafka_refused_worker(message)
                } else {
                    Failure::running(message)
                };
                Err(failure.because(error))
            }
        }
    }

    /// Waits until nothing is in flight, then commits. A failed commit is tried again until the time is up.
    fn continue_drain(&mut self, now: Instant) {
        let Some(mut drain) = self.drain.take() else {
            return;
        };
        let partitions = &drain.request.partitions;
        let unsettled: usize = partitions.iter().map(|&p| self.tracker.in_flight(p)).sum();
        let mut commits = self.uncommitted();
        commits.retain(|commit| partitions.contains(&commit.partition));
        let repeated = drain.to_repeat.iter().filter_map(|&partition| {
            let is_ours = partitions.contains(&partition);
            is_ours.then(|| self.tracker.committed_already(partition))?
        });
        commits.extend(repeated);
        let progress = DrainProgress {
            unsettled,
            is_commit_due: !commits.is_empty(),
            is_committing: self.is_committing,
            is_refused: drain.is_refused,
        };
        match progress.next_step(now, drain.request.deadlines) {
            DrainStep::End => {
                self.forget(&drain.request.partitions);
                // The sender of the request stops waiting when its time is up; nobody needs the answer then.
                let _ = drain.request.done.try_send(Drained {
                    unsettled,
                    is_committed: commits.is_empty(),
                });
                return;
            }
            DrainStep::Commit if now >= drain.next_attempt => {
                self.request(commits);
                drain.has_requested = true;
                drain.next_attempt = now + TICK;
            }
            DrainStep::Commit | DrainStep::Wait => {}
        }
        self.drain = Some(drain);
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        for &partition in partitions {
            self.tracker.forget(partition);
            self.new_logs.forget(partition);
            self.view.end_wait(partition);
            self.observer.forgotten(partition);
        }
        // A drain doesn't wait for a partition that was lost meanwhile.
        if let Some(drain) = &mut self.drain {
            drain
                .request
                .partitions
                .retain(|partition| !partitions.contains(partition));
        }
    }
}
