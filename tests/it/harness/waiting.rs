//! Waiting for conditions, with a time limit. Tests wait in no other way.

use std::thread;
use std::time::{Duration, Instant};

/// The limit for what takes milliseconds, or a few seconds on a busy machine.
pub const SHORT: Duration = Duration::from_secs(30);
/// The limit for what moves much data, or waits for a rebalance.
pub const MINUTE: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(50);

/// Calls `look` until it returns something, and panics after the time `bound`.
#[track_caller]
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            started.elapsed() < bound,
            "waited {bound:?} in vain until {what}"
        );
        pause();
    }
}

/// The pause between two looks.
pub(super) fn pause() {
    // It may end early; then the next look is earlier.
    thread::park_timeout(INTERVAL);
}
