//! What isn't urgent leaves room for live messages: a writer rests between two batches while some come.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many times as long as its batch took a writer rests.
const REST: u32 = 3;
/// The longest rest, so that a revoke doesn't wait longer for a batch that is next.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// How long after the last live message there is live traffic.
const LIVE: Duration = Duration::from_secs(1);

pub struct Yielding {
    /// How many live messages have come.
    live_messages: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Shared by the writers that yield.
    last_seen: Mutex<Seen>,
}

/// The number of live messages that was seen last, and when it had changed.
struct Seen {
    messages: u64,
    changed_at: Option<Instant>,
}

impl Yielding {
    /// Yields to the messages that `live_messages` counts.
    pub fn to(live_messages: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            last_seen: Mutex::new(Seen {
                messages: live_messages(),
                changed_at: None,
            }),
            live_messages: Box::new(live_messages),
        }
    }

    /// How long a writer rests whose last batch took `took`.
    pub(super) fn rest_after(&self, took: Duration, now: Instant) -> Duration {
        let messages = (self.live_messages)();
        let mut seen = self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if seen.messages != messages {
            *seen = Seen {
                messages,
                changed_at: Some(now),
            };
        }
        let is_live = |changed_at| now.saturating_duration_since(changed_at) < LIVE;
        if seen.changed_at.is_some_and(is_live) {
            (took * REST).min(LONGEST_REST)
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_writer_rests_only_while_live_messages_come() {
        let live = Arc::new(AtomicU64::new(7));
        let yielding = Yielding::to({
            let live = Arc::clone(&live);
            move || live.load(Ordering::Relaxed)
        });
        let start = Instant::now();
        let took = Duration::from_millis(10);
        let rest_at = |millis| yielding.rest_after(took, start + Duration::from_millis(millis));
        assert_eq!(rest_at(0), Duration::ZERO, "none has come since the start");
        live.store(8, Ordering::Relaxed);
        assert_eq!(rest_at(100), took * 3);
        assert_eq!(rest_at(1099), took * 3, "also for a second writer");
        assert_eq!(rest_at(1100), Duration::ZERO);
        live.store(9, Ordering::Relaxed);
        let slow = yielding.rest_after(Duration::from_secs(30), start + LIVE * 9);
        assert_eq!(slow, LONGEST_REST);
    }
}
