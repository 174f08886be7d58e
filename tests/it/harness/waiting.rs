//! Waiting for conditions, with bounds. No test sleeps for anything else.

use std::thread;
use std::time::{Duration, Instant};

/// The bound of what takes milliseconds, or a few seconds where the machine is busy.
pub const SHORT: Duration = Duration::from_secs(30);
/// The bound of what moves much data, or waits for a group to rebalance.
pub const MINUTE: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until there is something to see, and panics when `bound` is over.
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

/// The wait between two looks.
pub(super) fn pause() {
    // It may end early, which only brings the next look forward.
    thread::park_timeout(INTERVAL);
}
