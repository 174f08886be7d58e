//! How fast a long task goes on, and how long the rest of it will take.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// The rate is that of the last so much time, because a task may become faster or slower.
const WINDOW: Duration = Duration::from_secs(30);

/// Two samples are at least this far apart, so that their number is limited.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(1);

/// Measures the pace of a task that has a known size.
#[derive(Debug)]
pub struct Pace {
    total: u64,
    /// What was done at which time, oldest first. The first one is at or before the window's beginning, or the task's.
    samples: VecDeque<(Instant, u64)>,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// What is done, of 100, rounded down.
    pub percent: u64,
    /// `None` until there is something to measure.
    pub per_second: Option<u64>,
    /// `None` if nothing was done in the window.
    pub remaining: Option<Duration>,
}

impl Pace {
    /// A task of `total` units that begins now.
    pub fn new(total: u64, now: Instant) -> Self {
        Self {
            total,
            samples: VecDeque::from([(now, 0)]),
        }
    }

    /// How the task stands, of which `done` units are done now. Neither argument may become smaller.
    pub fn estimate(&mut self, done: u64, now: Instant) -> Estimate {
        let is_due = |&(at, _): &(Instant, u64)| now.duration_since(at) >= BETWEEN_SAMPLES;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, done));
        }
        let is_old = |&(at, _): &(Instant, u64)| now.duration_since(at) >= WINDOW;
        while self.samples.get(1).is_some_and(is_old) {
            self.samples.pop_front();
        }
        let (since, done_then) = self.samples.front().copied().unwrap_or((now, done));
        let millis = now.duration_since(since).as_millis();
        let progress = u128::from(done.saturating_sub(done_then));
        let left = u128::from(self.total.saturating_sub(done));
        Estimate {
            percent: percent(done, self.total),
            per_second: (progress * 1000).checked_div(millis).map(saturated),
            remaining: (left * millis)
                .checked_div(progress)
                .map(|millis| Duration::from_millis(saturated(millis))),
        }
    }
}

fn percent(done: u64, total: u64) -> u64 {
    let percent = (u128::from(done) * 100).checked_div(u128::from(total));
    percent.map_or(100, |percent| saturated(percent).min(100))
}

fn saturated(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// For people: `41 % of the offsets, 52000 offsets/s, about 3 min left`. What isn't known is left out.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of the offsets", self.percent)?;
        if let Some(rate) = self.per_second {
            write!(f, ", {rate} offsets/s")?;
        }
        let Some(seconds) = self.remaining.map(|remaining| remaining.as_secs()) else {
            return Ok(());
        };
        match seconds {
            0..120 => write!(f, ", about {seconds} s left"),
            120..7200 => write!(f, ", about {} min left", seconds / 60),
            _ => write!(f, ", about {} h left", seconds / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_task_has_its_rate_and_the_time_that_the_rest_takes() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, start);
        for second in 1..=9 {
            let estimate = pace.estimate(second * 100, start + seconds(second));
            assert_eq!(
                estimate,
                Estimate {
                    percent: second * 10,
                    per_second: Some(100),
                    remaining: Some(seconds(10 - second)),
                }
            );
        }
        let end = pace.estimate(1000, start + seconds(10));
        assert_eq!((end.percent, end.remaining), (100, Some(Duration::ZERO)));
    }

    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000_000, start);
        for second in 1..=100 {
            pace.estimate(second * 10, start + seconds(second));
        }
        let mut last = pace.estimate(1000, start + seconds(100));
        assert_eq!(last.per_second, Some(10));
        for second in 1..=40 {
            last = pace.estimate(1000 + second * 500, start + seconds(100 + second));
        }
        assert_eq!(last.per_second, Some(500));
        assert!(pace.samples.len() < 40, "{}", pace.samples.len());
    }

    #[test]
    fn without_progress_nothing_is_estimated() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        let first = pace.estimate(0, start);
        assert_eq!((first.per_second, first.remaining), (None, None));
        let stuck = pace.estimate(0, start + seconds(5));
        assert_eq!((stuck.per_second, stuck.remaining), (Some(0), None));
    }

    #[test]
    fn an_empty_task_and_one_that_did_more_than_expected_are_complete() {
        let start = Instant::now();
        assert_eq!(Pace::new(0, start).estimate(0, start).percent, 100);
        let mut pace = Pace::new(10, start);
        let estimate = pace.estimate(20, start + seconds(1));
        assert_eq!(
            (estimate.percent, estimate.remaining),
            (100, Some(Duration::ZERO))
        );
    }

    #[test]
    fn an_estimate_reads_well() {
        let text = |remaining: Option<u64>| {
            let estimate = Estimate {
                percent: 41,
                per_second: Some(52_000),
                remaining: remaining.map(seconds),
            };
            estimate.to_string()
        };
        assert_eq!(text(None), "41 % of the offsets, 52000 offsets/s");
        for (remaining, words) in [
            (0, "about 0 s left"),
            (119, "about 119 s left"),
            (120, "about 2 min left"),
            (7199, "about 119 min left"),
            (7200, "about 2 h left"),
        ] {
            assert!(text(Some(remaining)).ends_with(words), "{remaining}");
        }
    }
}
