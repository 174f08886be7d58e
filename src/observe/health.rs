//! What the probes of an orchestrator ask: is the process alive, and is it ready. No I/O, no clock.
//!
//! An outage of MongoDB or Kafka makes the worker unready, never unhealthy: a restart cures neither.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The facts, set by the threads that know them and read by the HTTP server.
#[derive(Debug)]
pub struct Health {
    created: Instant,
    beat_limit: Duration,
    last_beat: LastBeat,
    /// A lock, because an answer needs all facts of one moment. They change a few times an hour;
    /// the beat, which comes with every poll, is kept out of it.
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Four facts, independent of each other.
struct Facts {
    dead_threads: Vec<String>,
    /// `None` until the first assignment, which may be one of no partitions.
    assigned_partitions: Option<Vec<i32>>,
    kafka_reachable: bool,
    mongodb_available: bool,
    topic_exists: bool,
    stopping: bool,
}

/// The body of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    pub status: LivenessStatus,
    /// Milliseconds since the poll loop last came round; `null` before it first does.
    pub last_poll_ms: Option<u64>,
    /// Threads that ended although nobody asked them to.
    pub dead_threads: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LivenessStatus {
    Alive,
    /// The poll loop hasn't come round for too long.
    Hanging,
    ThreadDied,
}

/// The body of `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools)] // As they stand in the JSON.
pub struct Readiness {
    pub ready: bool,
    /// `null` before the first assignment; an empty list is a standby's.
    pub assigned_partitions: Option<Vec<i32>>,
    pub kafka: bool,
    pub mongodb: bool,
    pub topic: bool,
    /// Why not, in words; empty if ready.
    pub reasons: Vec<&'static str>,
}

impl Health {
    /// Alive as long as the poll loop beats more often than `beat_limit`. The time from `now` to the
    /// first beat is measured as well: a start that hangs is no life either.
    #[must_use]
    pub fn new(now: Instant, beat_limit: Duration) -> Self {
        Self {
            created: now,
            beat_limit,
            last_beat: LastBeat::default(),
            facts: Mutex::default(),
        }
    }

    /// The poll loop came round.
    pub fn beat(&self, now: Instant) {
        self.last_beat
            .set(now.saturating_duration_since(self.created));
    }

    /// A thread ended although nobody asked it to. There is no way back.
    pub fn thread_died(&self, name: &str) {
        self.facts().dead_threads.push(name.to_owned());
    }

    /// The partitions this process holds now, all of them. Empty is an assignment too.
    pub fn set_assigned_partitions(&self, mut partitions: Vec<i32>) {
        partitions.sort_unstable();
        self.facts().assigned_partitions = Some(partitions);
    }

    pub fn set_kafka_reachable(&self, reachable: bool) {
        self.facts().kafka_reachable = reachable;
    }

    pub fn set_mongodb_available(&self, available: bool) {
        self.facts().mongodb_available = available;
    }

    pub fn set_topic_exists(&self, exists: bool) {
        self.facts().topic_exists = exists;
    }

    /// The stop has begun. There is no way back.
    pub fn set_stopping(&self) {
        self.facts().stopping = true;
    }

    #[must_use]
    pub fn liveness(&self, now: Instant) -> Liveness {
        let last_beat = self.last_beat.get();
        let quiet = now
            .saturating_duration_since(self.created)
            .saturating_sub(last_beat.unwrap_or_default());
        let dead_threads = self.facts().dead_threads.clone();
        let status = if !dead_threads.is_empty() {
            LivenessStatus::ThreadDied
        } else if quiet >= self.beat_limit {
            LivenessStatus::Hanging
        } else {
            LivenessStatus::Alive
        };
        Liveness {
            status,
            last_poll_ms: last_beat.map(|_| millis(quiet)),
            dead_threads,
        }
    }

    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let facts = self.facts();
        let obstacles = [
            (!facts.kafka_reachable, "kafka is not reachable"),
            (!facts.mongodb_available, "mongodb is not available"),
            (!facts.topic_exists, "the source topic does not exist"),
            (
                facts.assigned_partitions.is_none(),
                "no assignment has been made yet",
            ),
            (facts.stopping, "the worker is stopping"),
        ];
        let reasons: Vec<_> = obstacles
            .into_iter()
            .filter_map(|(stands, reason)| stands.then_some(reason))
            .collect();
        Readiness {
            ready: reasons.is_empty(),
            assigned_partitions: facts.assigned_partitions.clone(),
            kafka: facts.kafka_reachable,
            mongodb: facts.mongodb_available,
            topic: facts.topic_exists,
            reasons,
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Liveness {
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.status == LivenessStatus::Alive
    }
}

/// Milliseconds from the creation to the last beat, plus one; 0 is none yet. An atomic, because the
/// poll loop sets it for every message.
#[derive(Debug, Default)]
struct LastBeat(AtomicU64);

impl LastBeat {
    fn set(&self, since_creation: Duration) {
        // Relaxed: it orders nothing, and a reader that sees the beat before is as right.
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
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn alive_while_the_poll_loop_beats() {
        let start = Instant::now();
        for (beat, asked, status, last_poll_ms) in [
            (None, 0, LivenessStatus::Alive, None),
            (None, 59, LivenessStatus::Alive, None),
            (None, 60, LivenessStatus::Hanging, None),
            (Some(0), 0, LivenessStatus::Alive, Some(0)),
            (Some(10), 69, LivenessStatus::Alive, Some(59_000)),
            (Some(10), 70, LivenessStatus::Hanging, Some(60_000)),
            // A reading taken before the beat, and used after it.
            (Some(10), 9, LivenessStatus::Alive, Some(0)),
        ] {
            let health = Health::new(start, LIMIT);
            if let Some(beat) = beat {
                health.beat(after(start, beat));
            }
            let liveness = health.liveness(after(start, asked));
            let case = format!("beat {beat:?}, asked {asked}");
            assert_eq!(liveness.status, status, "{case}");
            assert_eq!(liveness.last_poll_ms, last_poll_ms, "{case}");
        }
    }

    #[test]
    fn poll_loop_that_comes_back_is_alive_again() {
        let start = Instant::now();
        let health = Health::new(start, LIMIT);
        assert!(!health.liveness(after(start, 100)).is_alive());
        health.beat(after(start, 101));
        assert!(health.liveness(after(start, 102)).is_alive());
    }

    #[test]
    fn dead_thread_is_for_good() {
        let start = Instant::now();
        let health = Health::new(start, LIMIT);
        health.beat(start);
        health.thread_died("writer-2");
        health.beat(after(start, 1));
        let liveness = health.liveness(after(start, 1));
        assert!(!liveness.is_alive());
        assert_eq!(
            serde_json::to_string(&liveness).unwrap(),
            r#"{"status":"thread_died","last_poll_ms":0,"dead_threads":["writer-2"]}"#
        );
    }

    fn ready() -> Health {
        let health = Health::new(Instant::now(), LIMIT);
        health.set_kafka_reachable(true);
        health.set_mongodb_available(true);
        health.set_topic_exists(true);
        health.set_assigned_partitions(vec![2, 0]);
        health
    }

    #[test]
    fn ready_when_nothing_is_missing() {
        assert_eq!(
            serde_json::to_string(&ready().readiness()).unwrap(),
            r#"{"ready":true,"assigned_partitions":[0,2],"kafka":true,"mongodb":true,"topic":true,"reasons":[]}"#
        );
    }

    #[test]
    fn each_obstacle_alone_makes_unready() {
        type Spoil = fn(&Health);
        let table: [(Spoil, &str); 4] = [
            (|h| h.set_kafka_reachable(false), "kafka is not reachable"),
            (
                |h| h.set_mongodb_available(false),
                "mongodb is not available",
            ),
            (
                |h| h.set_topic_exists(false),
                "the source topic does not exist",
            ),
            (Health::set_stopping, "the worker is stopping"),
        ];
        for (spoil, reason) in table {
            let health = ready();
            spoil(&health);
            let readiness = health.readiness();
            assert!(!readiness.ready, "{reason}");
            assert_eq!(readiness.reasons, [reason]);
            assert!(health.liveness(Instant::now()).is_alive(), "{reason}");
        }
    }

    #[test]
    fn standby_without_partitions_is_ready() {
        let health = ready();
        health.set_assigned_partitions(Vec::new());
        assert!(health.readiness().ready);
    }

    #[test]
    fn new_worker_says_all_that_is_missing() {
        let readiness = Health::new(Instant::now(), LIMIT).readiness();
        assert!(!readiness.ready);
        assert_eq!(readiness.assigned_partitions, None);
        assert_eq!(readiness.reasons.len(), 4);
    }
}
