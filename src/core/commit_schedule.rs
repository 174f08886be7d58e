//! When the next commit is due: by the number of settled records, by time, or at once for a first commit.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct CommitSchedule {
    /// A commit is due after so many settled records …
    frequency: u64,
    /// … and after so long at the latest.
    interval: Duration,
    /// The wait before a partition's first commit.
    first_commit_delay: Duration,
    settled: u64,
    last_request: Instant,
}

impl CommitSchedule {
    pub fn new(
        frequency: u64,
        interval: Duration,
        first_commit_delay: Duration,
        now: Instant,
    ) -> Self {
        Self {
            frequency,
            interval,
            first_commit_delay,
            settled: 0,
            last_request: now,
        }
    }

    pub fn records_settled(&mut self, count: u64) {
        self.settled += count;
    }

    /// `lacks_first_commit`: the group has no committed offset yet for a partition of ours.
    pub fn is_due(&self, now: Instant, lacks_first_commit: impl FnOnce() -> bool) -> bool {
        let waited = now.saturating_duration_since(self.last_request);
        self.settled >= self.frequency
            || waited >= self.interval
            || (waited >= self.first_commit_delay && lacks_first_commit())
    }

    pub fn commit_requested(&mut self, now: Instant) {
        self.settled = 0;
        self.last_request = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_due_by_count_by_time_or_for_the_first_offset() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut schedule = CommitSchedule::new(
            10,
            Duration::from_secs(1),
            Duration::from_millis(100),
            start,
        );
        assert!(!schedule.is_due(after(999), || false));
        assert!(schedule.is_due(after(1000), || false));
        assert!(!schedule.is_due(after(99), || true));
        assert!(schedule.is_due(after(100), || true));
        schedule.records_settled(9);
        assert!(!schedule.is_due(start, || false));
        schedule.records_settled(1);
        assert!(schedule.is_due(start, || false));
        schedule.commit_requested(after(500));
        assert!(!schedule.is_due(after(1499), || false));
        assert!(schedule.is_due(after(1500), || false));
    }
}
