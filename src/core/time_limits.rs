//! How long a stop and a revoke may take.

use std::time::{Duration, Instant};

/// Of a stop's time, what settling may take. The rest is for committing and leaving the group.
pub fn settle_time(shutdown_timeout: Duration) -> Duration {
    shutdown_timeout * 7 / 10
}

/// How long a revoke may take, so that the group doesn't remove the worker: in all well below the longest time between
/// two polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokeBudget {
    pub drain: Duration,
    pub commit: Duration,
}

/// The deadlines of one revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokeDeadlines {
    /// Until then, records in flight may still be settled.
    pub drain_until: Instant,
    /// Until then, the commit may be tried.
    pub commit_until: Instant,
}

impl RevokeBudget {
    /// Half of the longest time between two polls or four fifths of the time for a stop, whichever is smaller. The last
    /// fifth of that is for the commit.
    pub fn new(max_poll_interval: Duration, shutdown_timeout: Duration) -> Self {
        let whole = (max_poll_interval / 2).min(shutdown_timeout * 4 / 5);
        Self {
            drain: whole * 4 / 5,
            commit: whole / 5,
        }
    }

    /// `can_drain` is false while records wait for MongoDB: nothing can be settled then. `settle_by` is
    /// the deadline of a stop.
    pub fn deadlines(
        self,
        now: Instant,
        can_drain: bool,
        settle_by: Option<Instant>,
    ) -> RevokeDeadlines {
        let drain = if can_drain {
            self.drain
        } else {
            Duration::ZERO
        };
        let mut drain_until = now + drain;
        if let Some(settle_by) = settle_by {
            drain_until = drain_until.min(settle_by);
        }
        RevokeDeadlines {
            drain_until,
            commit_until: drain_until.max(now) + self.commit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_revoke_stays_within_the_poll_interval_and_the_time_for_a_stop() {
        let budget = RevokeBudget::new(300 * SECOND, 25 * SECOND);
        assert_eq!((budget.drain, budget.commit), (16 * SECOND, 4 * SECOND));
        let budget = RevokeBudget::new(20 * SECOND, 25 * SECOND);
        assert_eq!((budget.drain, budget.commit), (8 * SECOND, 2 * SECOND));
    }

    #[test]
    fn a_revoke_that_can_not_drain_commits_at_once_and_a_stop_shortens_the_drain() {
        let now = Instant::now();
        let budget = RevokeBudget::new(300 * SECOND, 25 * SECOND);
        let deadlines = |can_drain, settle_by| budget.deadlines(now, can_drain, settle_by);
        let expect = |drain: Duration| RevokeDeadlines {
            drain_until: now + drain,
            commit_until: now + drain + 4 * SECOND,
        };
        assert_eq!(deadlines(true, None), expect(16 * SECOND));
        assert_eq!(deadlines(false, None), expect(Duration::ZERO));
        assert_eq!(deadlines(true, Some(now + SECOND)), expect(SECOND));
    }
}
