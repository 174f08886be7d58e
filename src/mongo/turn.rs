//! One at a time, but nobody waits for ever: a turn that is not given back in time counts as lost.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Given to one thread at a time.
pub(super) struct Turn {
    /// Holds one token while nobody has the turn.
    free: Sender<()>,
    taken: Receiver<()>,
}

impl Turn {
    pub(super) fn new() -> Self {
        // There is one turn, also if a lost one comes back late.
        let (free, taken) = bounded(1);
        let _ = free.try_send(());
        Self { free, taken }
    }

    /// Waits for the turn, at most for `limit`: then the one who has it hangs, and it is taken all the same.
    pub(super) fn wait(&self, limit: Duration) -> TurnGuard<'_> {
        // After the limit this thread has the turn, too, and gives it back for both.
        let _ = self.taken.recv_timeout(limit);
        TurnGuard(self)
    }
}

/// Gives the turn back when it is dropped.
pub(super) struct TurnGuard<'a>(&'a Turn);

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        // Full: a turn that was lost has come back.
        let _ = self.0.free.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_is_not_given_back_holds_up_the_next_one_only_once() {
        let turn = Turn::new();
        let long = Duration::from_secs(3600);
        drop(turn.wait(long));
        let lost = turn.wait(long);
        assert_eq!(turn.taken.len(), 0);
        drop(turn.wait(Duration::ZERO));
        assert_eq!(turn.taken.len(), 1);
        let next = turn.wait(long);
        drop(lost);
        drop(next);
        assert_eq!(turn.taken.len(), 1, "there is one turn");
    }
}
