//! A rate limit for a log line that may repeat often. Pure: the time is an argument.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket: `burst` lines at once, then one line per `interval`. Threads may share it.
#[derive(Debug)]
pub struct RateLimited {
    burst: u32,
    interval: Duration,
    /// A mutex, because the two values change together. It is held for a comparison and an addition, and
    /// only when a line is about to be logged.
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// When the bucket will be full again. Tokens aren't counted: each line moves this time on by one
    /// interval. A line is admitted while this time is at most `burst - 1` intervals in the future.
    full_at: Option<Instant>,
    /// Lines that were not admitted since the last admitted one.
    suppressed: u64,
}

impl RateLimited {
    /// A `burst` of 0 counts as 1, because a line that is never logged would be a bug.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self {
            burst,
            interval,
            bucket: Mutex::new(Bucket {
                full_at: None,
                suppressed: 0,
            }),
        }
    }

    /// `Some` if the line may be logged now, with the number of lines suppressed since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = bucket.full_at.map_or(now, |full_at| full_at.max(now));
        let ahead = full_at.saturating_duration_since(now);
        if ahead > self.interval.saturating_mul(self.burst.saturating_sub(1)) {
            bucket.suppressed += 1;
            return None;
        }
        bucket.full_at = Some(full_at.checked_add(self.interval).unwrap_or(full_at));
        Some(std::mem::take(&mut bucket.suppressed))
    }
}

impl Default for RateLimited {
    /// 10 lines at once, then one per second.
    fn default() -> Self {
        Self::new(10, Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step: milliseconds since the start, and the expected result of `admit`.
    fn check(burst: u32, steps: &[(u64, Option<u64>)]) {
        let limit = RateLimited::new(burst, Duration::from_secs(1));
        let start = Instant::now();
        for (index, &(at, expect)) in steps.iter().enumerate() {
            let now = start + Duration::from_millis(at);
            assert_eq!(limit.admit(now), expect, "step {index}, at {at} ms");
        }
    }

    #[test]
    fn burst_passes_then_one_per_interval() {
        let (yes, no) = (Some(0), None);
        check(
            3,
            &[
                (0, yes),
                (0, yes),
                (0, yes),
                (0, no),
                (999, no),
                (1000, Some(2)),
                (1000, no),
                (2000, Some(1)),
            ],
        );
    }

    #[test]
    fn a_long_pause_allows_no_more_than_one_burst() {
        let (yes, no) = (Some(0), None);
        check(
            2,
            &[
                (0, yes),
                (0, yes),
                (60_000, yes),
                (60_000, yes),
                (60_000, no),
            ],
        );
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_is_harmless() {
        check(
            2,
            &[(5000, Some(0)), (0, None), (5000, Some(1)), (5000, None)],
        );
    }

    #[test]
    fn a_burst_of_zero_admits_single_lines() {
        check(0, &[(0, Some(0)), (0, None), (1000, Some(1))]);
    }

    #[test]
    fn threads_share_one_bucket() {
        let limit = RateLimited::default();
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
