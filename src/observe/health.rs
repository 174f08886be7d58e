//! The answers to an orchestrator's probes: is the process alive, and is it ready? No I/O, no clock.
//!
//! An outage of MongoDB or Kafka makes the worker not ready, but never unhealthy: a restart would not help.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The state behind both answers. Other threads set it; the HTTP server reads it.
#[derive(Debug)]
pub struct Health {
    created: Instant,
    beat_limit: Duration,
    last_beat: LastBeat,
    /// A mutex, because an answer must combine facts of the same moment. They change rarely. The beat,
    /// which is set at every poll, is not behind this mutex.
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // Four facts, independent of each other.
struct Facts {
    dead_threads: Vec<String>,
    /// `None` until the first assignment. An assignment may have no partitions.
    assigned_partitions: Option<Vec<i32>>,
    kafka_reachable: bool,
    mongodb_available: bool,
    topic_exists: bool,
    stalled_partitions: Vec<i32>,
    stopping: bool,
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

/// The body of `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools)] // They are the fields of the JSON.
pub struct Readiness {
    pub ready: bool,
    /// `null` before the first assignment. The list of a standby is empty.
    pub assigned_partitions: Option<Vec<i32>>,
    pub kafka: bool,
    pub mongodb: bool,
    pub topic: bool,
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
            facts: Mutex::default(),
        }
    }

    /// Records one turn of the poll loop.
    pub fn beat(&self, now: Instant) {
        self.last_beat
            .set(now.saturating_duration_since(self.created));
    }

    /// Records that a thread ended unexpectedly. The process then counts as not alive for good.
    pub fn thread_died(&self, name: &str) {
        self.facts().dead_threads.push(name.to_owned());
    }

    /// Sets all partitions that are now assigned to this process. The list may be empty.
    pub fn set_assigned_partitions(&self, mut partitions: Vec<i32>) {
        partitions.sort_unstable();
        self.facts().assigned_partitions = Some(partitions);
    }

    /// Whether the group has made an assignment, which may be one of no partitions.
    pub fn has_assignment(&self) -> bool {
        self.facts().assigned_partitions.is_some()
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

    /// Sets all partitions that stand still.
    pub fn set_stalled_partitions(&self, partitions: Vec<i32>) {
        self.facts().stalled_partitions = partitions;
    }

    pub fn is_mongodb_available(&self) -> bool {
        self.facts().mongodb_available
    }

    /// Records that the worker is stopping. The process then counts as not ready for good.
    pub fn set_stopping(&self) {
        self.facts().stopping = true;
    }

    pub fn liveness(&self, now: Instant) -> Liveness {
        let last_beat = self.last_beat.get();
        let since_beat = now
            .saturating_duration_since(self.created)
            .saturating_sub(last_beat.unwrap_or_default());
        let dead_threads = self.facts().dead_threads.clone();
        let status = if !dead_threads.is_empty() {
            LivenessStatus::ThreadDied
        } else if since_beat >= self.beat_limit {
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
            (
                !facts.stalled_partitions.is_empty(),
                "a partition has work and does not move on",
            ),
            (facts.stopping, "the worker is stopping"),
        ];
        let reasons: Vec<_> = obstacles
            .into_iter()
            .filter_map(|(applies, reason)| applies.then_some(reason))
            .collect();
        Readiness {
            ready: reasons.is_empty(),
            assigned_partitions: facts.assigned_partitions.clone(),
            kafka: facts.kafka_reachable,
            mongodb: facts.mongodb_available,
            topic: facts.topic_exists,
            stalled_partitions: facts.stalled_partitions.clone(),
            reasons,
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn alive_while_the_last_beat_is_recent() {
        let start = Instant::now();
        for (beat, asked, status, last_poll_ms) in [
            (None, 0, LivenessStatus::Alive, None),
            (None, 59, LivenessStatus::Alive, None),
            (None, 60, LivenessStatus::Hanging, None),
            (Some(0), 0, LivenessStatus::Alive, Some(0)),
            (Some(10), 69, LivenessStatus::Alive, Some(59_000)),
            (Some(10), 70, LivenessStatus::Hanging, Some(60_000)),
            // The reader read the clock just before the beat.
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
    fn a_beat_after_a_hang_makes_it_alive_again() {
        let start = Instant::now();
        let health = Health::new(start, LIMIT);
        assert!(!health.liveness(after(start, 100)).is_alive());
        health.beat(after(start, 101));
        assert!(health.liveness(after(start, 102)).is_alive());
    }

    #[test]
    fn a_dead_thread_makes_it_not_alive_for_good() {
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
            r#"{"ready":true,"assigned_partitions":[0,2],"kafka":true,"mongodb":true,"topic":true,"stalled_partitions":[],"reasons":[]}"#
        );
    }

    #[test]
    fn each_obstacle_alone_makes_it_not_ready() {
        type Change = fn(&Health);
        let table: [(Change, &str); 5] = [
            (|h| h.set_kafka_reachable(false), "kafka is not reachable"),
            (
                |h| h.set_mongodb_available(false),
                "mongodb is not available",
            ),
            (
                |h| h.set_topic_exists(false),
                "the source topic does not exist",
            ),
            (
                |h| h.set_stalled_partitions(vec![2]),
                "a partition has work and does not move on",
            ),
            (Health::set_stopping, "the worker is stopping"),
        ];
        for (change, reason) in table {
            let health = ready();
            change(&health);
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
    fn a_new_worker_lists_every_obstacle() {
        let readiness = Health::new(Instant::now(), LIMIT).readiness();
        assert!(!readiness.ready);
        assert_eq!(readiness.assigned_partitions, None);
        assert_eq!(readiness.reasons.len(), 4);
    }
}
