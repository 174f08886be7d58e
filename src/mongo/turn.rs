//! One at a time, but nobody waits for ever: a turn that isn't given back in time passes on to the next one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Given to one thread at a time.
#[derive(Default)]
pub(super) struct Turn {
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Default)]
struct State {
    /// Since when somebody has the turn.
    taken_at: Option<Instant>,
    /// The number of the turn that was taken last.
    number: u64,
}

impl Turn {
    /// Waits for the turn. One that was taken `limit` ago counts as lost, and is taken over, by one thread.
    pub(super) fn wait(&self, limit: Duration) -> TurnGuard<'_> {
        let mut state = self.state();
        while let Some(taken_at) = state.taken_at {
            let left = limit.saturating_sub(taken_at.elapsed());
            if left.is_zero() {
                break;
            }
            let waited = self.given_back.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.taken_at = Some(Instant::now());
        state.number += 1;
        TurnGuard {
            turn: self,
            number: state.number,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the turn back when it is dropped, unless it was taken over.
pub(super) struct TurnGuard<'a> {
    turn: &'a Turn,
    number: u64,
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.turn.state();
        if state.number == self.number {
            state.taken_at = None;
            self.turn.given_back.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_lost_turn_is_taken_over_and_not_given_back_twice() {
        let turn = Turn::default();
        drop(turn.wait(LONG));
        let lost = turn.wait(LONG);
        let next = turn.wait(Duration::ZERO);
        drop(lost);
        assert!(turn.state().taken_at.is_some(), "the next one has it still");
        drop(next);
        assert!(turn.state().taken_at.is_none());
    }

    /// However long the others have waited: the limit is of the one who has the turn.
    #[test]
    fn after_a_turn_was_taken_over_the_others_wait_for_its_new_holder() {
        let turn = Turn::default();
        let lost = turn.wait(LONG);
        let holder = turn.wait(Duration::ZERO);
        let (took, taken) = crossbeam_channel::bounded(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    drop(turn.wait(LONG));
                    took.send(()).unwrap();
                });
            }
            drop(lost);
            assert_eq!(turn.state().number, 2, "nobody else has it");
            assert!(taken.is_empty());
            drop(holder);
        });
        assert_eq!(taken.len(), 3);
    }
}
