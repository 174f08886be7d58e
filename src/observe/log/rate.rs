//! A rate limit for a log line that may repeat often. The number of suppressed lines is always logged: by the next
//! line of their kind, or else a short time later.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// This many lines may come at once …
const BURST: u32 = 10;
/// … and then one for each interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// Every limit of the process, so that its suppressed lines can be reported. A limit stays in this list when its
/// owner is gone: there are only a few, made at the start.
static LIMITS: Mutex<Vec<Arc<Limit>>> = Mutex::new(Vec::new());

/// Limits one kind of line: 10 at once, then one for each second. Threads may share it.
#[derive(Debug)]
pub struct RateLimited(Arc<Limit>);

#[derive(Debug)]
struct Limit {
    level: Level,
    line: &'static str,
    /// A mutex, because its values change together. It is held for a comparison and an addition, and only when
    /// a line is about to be logged.
    bucket: Mutex<Bucket>,
}

/// A token bucket. Pure: the time is an argument.
#[derive(Debug, Default)]
struct Bucket {
    /// When the bucket will be full again. Tokens aren't counted: each line moves this time one interval into the
    /// future. A line is admitted while this time is at most `BURST - 1` intervals in the future.
    full_at: Option<Instant>,
    /// Lines that were suppressed since their number was last logged.
    suppressed: u64,
    suppressed_at: Option<Instant>,
}

impl RateLimited {
    /// A limit for lines of this level. `line` is their text, or says what they are about.
    pub fn new(level: Level, line: &'static str) -> Self {
        let limit = Arc::new(Limit {
            level,
            line,
            bucket: Mutex::default(),
        });
        LIMITS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&limit));
        Self(limit)
    }

    /// `Some` if the line may be logged now. The number is that of the lines suppressed since their number was last
    /// logged; the caller logs it with this line.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        self.0.bucket().admit(now)
    }
}

/// Logs the number of suppressed lines of each kind, if the last of them was suppressed at least `since` ago and their
/// number was not logged yet.
pub fn report_suppressed(now: Instant, since: Duration) {
    let limits = LIMITS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for limit in limits {
        let suppressed = limit.bucket().take_suppressed(now, since);
        if suppressed > 0 {
            log::log!(limit.level, suppressed; "left out of the log: {suppressed} more of `{}`", limit.line);
        }
    }
}

impl Limit {
    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let full_at = self.full_at.map_or(now, |full_at| full_at.max(now));
        let ahead = full_at.saturating_duration_since(now);
        if ahead > INTERVAL.saturating_mul(BURST - 1) {
            self.suppressed += 1;
            self.suppressed_at = Some(now);
            return None;
        }
        self.full_at = Some(full_at.checked_add(INTERVAL).unwrap_or(full_at));
        Some(mem::take(&mut self.suppressed))
    }

    /// The number of suppressed lines, if the last of them was suppressed at least `since` ago; otherwise 0.
    fn take_suppressed(&mut self, now: Instant, since: Duration) -> u64 {
        let is_due = |at: Instant| now.saturating_duration_since(at) >= since;
        if self.suppressed_at.is_some_and(is_due) {
            mem::take(&mut self.suppressed)
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// A bucket that has admitted a whole burst at `start`.
    fn emptied(start: Instant) -> Bucket {
        let mut bucket = Bucket::default();
        for _ in 0..BURST {
            assert_eq!(bucket.admit(start), Some(0));
        }
        bucket
    }

    /// Each step: milliseconds since the burst, and the expected result of `admit`.
    fn check(steps: &[(u64, Option<u64>)]) {
        let start = Instant::now();
        let mut bucket = emptied(start);
        for (index, &(at, expect)) in steps.iter().enumerate() {
            let admitted = bucket.admit(after(start, at));
            assert_eq!(admitted, expect, "step {index}, at {at} ms");
        }
    }

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        check(&[
            (0, None),
            (999, None),
            (1000, Some(2)),
            (1000, None),
            (2000, Some(1)),
        ]);
    }

    #[test]
    fn a_long_pause_allows_no_more_than_one_burst() {
        let mut steps = vec![(60_000, Some(0)); 10];
        steps.push((60_000, None));
        check(&steps);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_is_harmless() {
        check(&[(5000, Some(0)), (0, None), (5000, Some(1))]);
    }

    #[test]
    fn suppressed_lines_are_reported_once_and_only_some_time_after_the_last_of_them() {
        let start = Instant::now();
        let mut bucket = emptied(start);
        let two = Duration::from_secs(2);
        assert_eq!(bucket.take_suppressed(after(start, 60_000), two), 0);
        for at in [0, 100, 200] {
            assert_eq!(bucket.admit(after(start, at)), None);
        }
        assert_eq!(bucket.take_suppressed(after(start, 2199), two), 0);
        assert_eq!(bucket.take_suppressed(after(start, 2200), two), 3);
        assert_eq!(bucket.take_suppressed(after(start, 9000), two), 0);
        assert_eq!(bucket.admit(after(start, 9000)), Some(0));
    }

    #[test]
    fn threads_share_one_bucket() {
        let limit = RateLimited::new(Level::Warn, "a line");
        let now = Instant::now();
        let admitted: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).filter_map(|_| limit.admit(now)).count()))
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(admitted, 10);
        assert_eq!(limit.admit(now + Duration::from_secs(1)), Some(390));
    }
}
