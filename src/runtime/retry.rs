//! Trying an operation again, with growing delays that a stop interrupts.
//!
//! The delays are those of `backoff`. Its own `retry` isn't used: it sleeps without looking at a stop.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

use super::stop::StopSignal;

/// No delay between two attempts is longer, unless the first one is.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Jitter makes a delay shorter or longer by up to this part of it. After doubling, the shortest delay is still
/// longer than the longest one before: 2 × 0.8 > 1.2.
const JITTER: f64 = 0.2;

/// The delays between attempts: the first one, then each twice as long as the one before, with jitter, up to a limit.
pub struct Delays {
    backoff: ExponentialBackoff,
    longest: Duration,
}

impl Delays {
    /// Each delay is longer than the one before, until the longest one is reached.
    pub fn doubling(first: Duration) -> Self {
        Self::growing(first, 2.0, JITTER)
    }

    /// Always the same delay, without jitter.
    pub fn constant(delay: Duration) -> Self {
        Self::growing(delay, 1.0, 0.0)
    }

    fn growing(first: Duration, multiplier: f64, randomization_factor: f64) -> Self {
        let longest = LONGEST_DELAY.max(first);
        let backoff = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            multiplier,
            randomization_factor,
            // Beyond the longest delay, so that jitter doesn't bring a later delay below it.
            max_interval: longest * 2,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { backoff, longest }
    }

    pub fn next_delay(&mut self) -> Duration {
        let delay = self.backoff.next_backoff();
        delay.map_or(self.longest, |delay| delay.min(self.longest))
    }
}

/// What a failed attempt means for the next one.
pub enum RetryError<E> {
    /// The same may succeed later. The attempt has logged its error.
    Again,
    /// No later attempt can succeed, or this was the last one allowed.
    Final(E),
}

/// How often `beat` is called during a wait between two attempts.
const BEAT: Duration = Duration::from_secs(1);

/// Calls `attempt` with 1, 2, 3 … until it succeeds or fails for good, and waits between two calls. Calls
/// `beat` before each attempt and every second of the waits. Returns `None` if the stop came first.
pub fn retry<T, E>(
    stop: &StopSignal,
    mut delays: Delays,
    beat: impl Fn(),
    mut attempt: impl FnMut(u32) -> Result<T, RetryError<E>>,
) -> Result<Option<T>, E> {
    let mut number = 1;
    loop {
        beat();
        match attempt(number) {
            Ok(value) => return Ok(Some(value)),
            // A failure during a stop is most likely caused by the stop, so it isn't reported.
            Err(RetryError::Final(_)) if stop.is_stopping() => return Ok(None),
            Err(RetryError::Final(error)) => return Err(error),
            Err(RetryError::Again) => {}
        }
        number = number.saturating_add(1);
        let mut delay = delays.next_delay();
        while !delay.is_zero() {
            let slice = delay.min(BEAT);
            if stop.wait(slice) {
                return Ok(None);
            }
            delay -= slice;
            beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn attempts_go_on_until_one_succeeds_or_is_final() {
        let stop = StopSignal::new();
        let delays = || Delays::constant(Duration::from_millis(1));
        let third: Result<_, &str> = retry(
            &stop,
            delays(),
            || {},
            |attempt| match attempt {
                3 => Ok(attempt),
                _ => Err(RetryError::Again),
            },
        );
        assert_eq!(third, Ok(Some(3)));
        let failed: Result<Option<()>, _> = retry(
            &stop,
            delays(),
            || {},
            |attempt| match attempt {
                2 => Err(RetryError::Final("never")),
                _ => Err(RetryError::Again),
            },
        );
        assert_eq!(failed, Err("never"));
    }

    #[test]
    fn a_stop_ends_the_wait_between_two_attempts() {
        let stop = StopSignal::new();
        let delays = Delays::constant(Duration::from_secs(3600));
        let stopped: Result<Option<()>, &str> = retry(
            &stop,
            delays,
            || {},
            |_| {
                stop.ask(Instant::now());
                Err(RetryError::Again)
            },
        );
        assert_eq!(stopped, Ok(None));
    }

    #[test]
    fn delays_double_up_to_a_limit() {
        let mut delays = Delays::growing(Duration::from_secs(1), 2.0, 0.0);
        let seconds: Vec<u64> = (0..7).map(|_| delays.next_delay().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn each_delay_is_longer_than_the_one_before_until_the_longest_is_reached() {
        for first in [1, 10, 100, 1000, 7_500, 29_000, 60_000].map(Duration::from_millis) {
            let longest = LONGEST_DELAY.max(first);
            for _ in 0..2_000 {
                let mut delays = Delays::doubling(first);
                let drawn: Vec<Duration> = (0..24).map(|_| delays.next_delay()).collect();
                assert!(drawn.iter().all(|&delay| delay <= longest), "{drawn:?}");
                assert!(drawn[0] >= first.mul_f64(0.79), "{drawn:?}");
                for pair in drawn.windows(2) {
                    assert!(pair[1] > pair[0] || pair == [longest; 2], "{drawn:?}");
                }
            }
        }
    }
}
