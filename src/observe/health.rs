//! What the worker is doing, and the answers to an orchestrator's probes: is the process alive, and is it ready?
//!
//! An outage of MongoDB or Kafka makes the worker not ready, but never unhealthy: a restart would not help.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::status::{Connection, Pause, State, time_text};

/// The state behind both answers. Other threads set it; the HTTP server reads it.
#[derive(Debug)]
pub struct Health {
    created: Instant,
    beat_limit: Duration,
    last_beat: LastBeat,
    /// A mutex, because an answer must combine facts of the same moment. They change rarely. The beat,
    /// which is set at every poll, is not behind this mutex.
    facts: Mutex<Facts>,
    /// Of further poll loops, which have to run as well.
    others: Mutex<Vec<Arc<Health>>>,
}

#[derive(Debug)]
struct Facts {
    dead_threads: Vec<String>,
    /// `None` until the first assignment. An assignment may have no partitions.
    assigned_partitions: Option<Vec<i32>>,
    kafka_reachable: Since<bool>,
    mongodb_available: Since<bool>,
    topic_exists: bool,
    stalled_partitions: Vec<i32>,
    pause: Option<Pause>,
    stopping: bool,
    state: Since<State>,
}

/// A value, and since when it is so.
#[derive(Debug, Clone, Copy)]
struct Since<T> {
    value: T,
    since: Timestamp,
}

impl<T: PartialEq> Since<T> {
    fn new(value: T, since: Timestamp) -> Self {
        Self { value, since }
    }

    fn set(&mut self, value: T) {
        if self.value != value {
            *self = Self::new(value, Timestamp::now());
        }
    }
}

/// What `/status` shows of the health, of one moment.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) state: State,
    pub(super) state_since: Timestamp,
    pub(super) kafka: Connection,
    pub(super) mongodb: Connection,
    pub(super) pause: Option<Pause>,
    pub(super) readiness: Readiness,
}

/// The body of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    pub status: LivenessStatus,
    /// Milliseconds since the poll loop's last turn; `null` before its first one.
    pub last_poll_ms: Option<u64>,
    /// Threads that ended unexpectedly.
    pub dead_threads: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LivenessStatus {
    Alive,
    /// The poll loop's last turn was too long ago.
    Hanging,
    ThreadDied,
}

/// Whether the worker is ready, as `/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools)] // They are the fields of the JSON.
pub struct Readiness {
    pub ready: bool,
    /// `null` before the first assignment. The list of a standby is empty.
    pub assigned_partitions: Option<Vec<i32>>,
    pub kafka: bool,
    pub mongodb: bool,
    pub topic: bool,
    /// An operator has paused the worker.
    pub paused: bool,
    /// Assigned partitions that have work and don't move on.
    pub stalled_partitions: Vec<i32>,
    /// Why the worker isn't ready; empty if it is.
    pub reasons: Vec<&'static str>,
}

impl Health {
    /// The process counts as alive while the time since the last beat is below `beat_limit`. Before the
    /// first beat the time since `now` counts, so that a start that hangs counts as not alive.
    pub fn new(now: Instant, beat_limit: Duration) -> Self {
        Self {
            created: now,
            beat_limit,
            last_beat: LastBeat::default(),
            facts: Mutex::new(Facts::new()),
            others: Mutex::default(),
        }
    }

    /// From now on the process counts as alive only while the poll loop that beats there runs, too.
    pub fn watch_too(&self, other: Arc<Self>) {
        self.others().push(other);
    }

    fn others(&self) -> MutexGuard<'_, Vec<Arc<Self>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records one turn of the poll loop.
    pub fn beat(&self, now: Instant) {
        self.last_beat
            .set(now.saturating_duration_since(self.created));
    }

    /// Records that a thread ended unexpectedly. The process then counts as not alive for good.
    pub fn thread_died(&self, name: &str) {
        self.change(|facts| facts.dead_threads.push(name.to_owned()));
    }

    /// Sets all partitions that are now assigned to this process. The list may be empty.
    pub fn set_assigned_partitions(&self, mut partitions: Vec<i32>) {
        partitions.sort_unstable();
        self.change(|facts| facts.assigned_partitions = Some(partitions));
    }

    /// Whether the group has made an assignment, which may be one of no partitions.
    pub fn has_assignment(&self) -> bool {
        self.facts().assigned_partitions.is_some()
    }

    pub fn set_kafka_reachable(&self, reachable: bool) {
        self.change(|facts| facts.kafka_reachable.set(reachable));
    }

    pub fn set_mongodb_available(&self, available: bool) {
        self.change(|facts| facts.mongodb_available.set(available));
    }

    pub fn set_topic_exists(&self, exists: bool) {
        self.change(|facts| facts.topic_exists = exists);
    }

    /// Sets all partitions that stand still.
    pub fn set_stalled_partitions(&self, partitions: Vec<i32>) {
        self.change(|facts| facts.stalled_partitions = partitions);
    }

    pub fn is_paused_by_flood(&self) -> bool {
        let facts = self.facts();
        facts.pause.as_ref().is_some_and(|pause| pause.is_flood)
    }

    pub fn is_mongodb_available(&self) -> bool {
        self.facts().mongodb_available.value
    }

    /// Records that the worker is stopping. The process then counts as not ready for good.
    pub fn set_stopping(&self) {
        self.change(|facts| facts.stopping = true);
    }

    /// `None`: the worker isn't paused by an operator.
    pub fn set_pause(&self, pause: Option<Pause>) {
        self.change(|facts| facts.pause = pause);
    }

    pub fn liveness(&self, now: Instant) -> Liveness {
        let last_beat = self.last_beat.get();
        let since_beat = self.since_beat(now);
        let is_hanging = |health: &Self| health.since_beat(now) >= health.beat_limit;
        let dead_threads = self.facts().dead_threads.clone();
        let status = if !dead_threads.is_empty() {
            LivenessStatus::ThreadDied
        } else if is_hanging(self) || self.others().iter().any(|other| is_hanging(other)) {
            LivenessStatus::Hanging
        } else {
            LivenessStatus::Alive
        };
        Liveness {
            status,
            last_poll_ms: last_beat.map(|_| millis(since_beat)),
            dead_threads,
        }
    }

    fn since_beat(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
            .saturating_sub(self.last_beat.get().unwrap_or_default())
    }

    pub fn readiness(&self) -> Readiness {
        self.facts().readiness()
    }

    /// What `/status` shows.
    pub(super) fn condition(&self) -> Condition {
        let facts = self.facts();
        Condition {
            state: facts.state.value,
            state_since: facts.state.since,
            kafka: connection(facts.kafka_reachable),
            mongodb: connection(facts.mongodb_available),
            pause: facts.pause.clone(),
            readiness: facts.readiness(),
        }
    }

    /// Changes facts, and notes since when the worker is in the state that follows from them.
    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts();
        change(&mut facts);
        let state = facts.state();
        facts.state.set(state);
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn new() -> Self {
        let now = Timestamp::now();
        Self {
            dead_threads: Vec::new(),
            assigned_partitions: None,
            kafka_reachable: Since::new(false, now),
            mongodb_available: Since::new(false, now),
            topic_exists: false,
            stalled_partitions: Vec::new(),
            pause: None,
            stopping: false,
            state: Since::new(State::Starting, now),
        }
    }

    fn state(&self) -> State {
        let states = [
            (self.stopping, State::Stopping),
            (self.assigned_partitions.is_none(), State::Starting),
            (!self.kafka_reachable.value, State::KafkaUnreachable),
            (!self.topic_exists, State::TopicMissing),
            (!self.mongodb_available.value, State::MongodbUnavailable),
            (self.pause.is_some(), State::Paused),
            (!self.stalled_partitions.is_empty(), State::Stalled),
            (
                self.assigned_partitions.as_ref().is_some_and(Vec::is_empty),
                State::Standby,
            ),
        ];
        let first = states
            .into_iter()
            .find_map(|(applies, state)| applies.then_some(state));
        first.unwrap_or(State::Running)
    }

    fn readiness(&self) -> Readiness {
        let obstacles = [
            (!self.kafka_reachable.value, "kafka is not reachable"),
            (!self.mongodb_available.value, "mongodb is not available"),
            (!self.topic_exists, "the source topic does not exist"),
            (
                self.assigned_partitions.is_none(),
                "no assignment has been made yet",
            ),
            (
                self.pause.as_ref().is_some_and(|pause| !pause.is_flood),
                "an operator has paused the worker",
            ),
            (
                self.pause.as_ref().is_some_and(|pause| pause.is_flood),
                "too many messages are rejected: paused until an operator resumes",
            ),
            (
                !self.stalled_partitions.is_empty(),
                "a partition has work and does not move on",
            ),
            (self.stopping, "the worker is stopping"),
        ];
        let reasons: Vec<_> = obstacles
            .into_iter()
            .filter_map(|(applies, reason)| applies.then_some(reason))
            .collect();
        Readiness {
            ready: reasons.is_empty(),
            assigned_partitions: self.assigned_partitions.clone(),
            kafka: self.kafka_reachable.value,
            mongodb: self.mongodb_available.value,
            topic: self.topic_exists,
            paused: self.pause.is_some(),
            stalled_partitions: self.stalled_partitions.clone(),
            reasons,
        }
    }
}

fn connection(available: Since<bool>) -> Connection {
    Connection {
        available: available.value,
        since: time_text(available.since),
    }
}

impl Liveness {
    pub fn is_alive(&self) -> bool {
        self.status == LivenessStatus::Alive
    }
}

/// Milliseconds from the creation of `Health` to the last beat, plus one; 0 means no beat yet. An atomic
/// instead of a mutex, because every poll sets it.
#[derive(Debug, Default)]
struct LastBeat(AtomicU64);

impl LastBeat {
    fn set(&self, since_creation: Duration) {
        // Relaxed is enough: no other data depends on the order, and the beat before is a valid answer.
        self.0
            .store(millis(since_creation).saturating_add(1), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let stored = self.0.load(Ordering::Relaxed);
        stored.checked_sub(1).map(Duration::from_millis)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
