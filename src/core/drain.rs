//! How work ends. In a revoke, records in flight are settled, then everything settled is committed, both in time.

use std::time::Instant;

use super::time_limits::RevokeDeadlines;

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainProgress {
    /// Records that may still be settled.
    pub unsettled: usize,
    /// Settled offsets are not committed yet.
    pub is_commit_due: bool,
    /// A commit is under way.
    pub is_committing: bool,
    /// A commit for the drain was refused, because the partitions belong to another member.
    pub is_refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainStep {
    Wait,
    Commit,
    /// Everything is done, or nothing more can be done in time.
    End,
}

impl DrainProgress {
    pub fn next_step(self, now: Instant, deadlines: RevokeDeadlines) -> DrainStep {
        if self.is_refused || now >= deadlines.commit_until {
            return DrainStep::End;
        }
        let is_settled = self.unsettled == 0 || now >= deadlines.drain_until;
        match (is_settled && !self.is_committing, self.is_commit_due) {
            (false, _) => DrainStep::Wait,
            (true, true) => DrainStep::Commit,
            (true, false) => DrainStep::End,
        }
    }
}

/// Whether so many records of ours may be left without an end. Only a stop may do that: otherwise their partition would
/// stand still without a log line.
pub fn may_leave_unsettled(records: usize, is_stopping: bool) -> bool {
    records == 0 || is_stopping
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_drain_settles_then_commits_then_ends_and_never_passes_its_deadlines() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let deadlines = RevokeDeadlines {
            drain_until: at(8),
            commit_until: at(10),
        };
        for (seconds, unsettled, is_commit_due, is_committing, is_refused, expected) in [
            (0, 3, true, false, false, DrainStep::Wait),
            (0, 0, true, true, false, DrainStep::Wait),
            (0, 0, true, false, false, DrainStep::Commit),
            (0, 0, false, true, false, DrainStep::Wait),
            (0, 0, false, false, false, DrainStep::End),
            (8, 3, true, false, false, DrainStep::Commit),
            (8, 3, true, true, false, DrainStep::Wait),
            (8, 3, false, false, false, DrainStep::End),
            (0, 3, true, true, true, DrainStep::End),
            (10, 3, true, true, false, DrainStep::End),
        ] {
            let progress = DrainProgress {
                unsettled,
                is_commit_due,
                is_committing,
                is_refused,
            };
            let step = progress.next_step(at(seconds), deadlines);
            assert_eq!(step, expected, "{progress:?} after {seconds} s");
        }
    }
}
