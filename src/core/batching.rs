//! Natural batching: what the poller does next, from what is pending and who is free.
//!
//! A full batch goes as soon as there is room for it. A batch that isn't full goes as soon as Kafka has
//! nothing more ready and a writer is idle. So a backlog goes in full batches and a lone message goes at
//! once, without a timer.
//!
//! Where batches may grow, a batch of `batch_size` messages goes as soon as a writer is idle, and takes further
//! messages until then. So batches are larger while all writers are busy, and no writer waits for a larger one.

use std::time::Duration;

/// How long a batch that isn't full waits for more messages while no writer is idle.
pub const FILL_POLL: Duration = Duration::from_millis(2);

/// A pause costs up to a second and the prefetched messages: it is worth it only if the pressure lasts.
const PAUSE_AFTER: Duration = Duration::from_secs(3);

/// Whether consumption is to be paused, after a full batch has waited so long for room.
pub fn is_pause_worth_it(waited: Duration) -> bool {
    waited >= PAUSE_AFTER
}

/// How long a poll waits that only serves the group.
const SERVE_POLL: Duration = Duration::from_millis(1);

/// What the poller knows before its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollerState {
    pub pending: Pending,
    /// The last poll brought nothing.
    pub is_source_drained: bool,
}

/// What waits to be dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    Nothing,
    /// The next batch has fewer messages than `batch_size`.
    PartialBatch,
    /// The next batch has at least `batch_size` messages, and can still take messages.
    GrowingBatch,
    FullBatch,
}

impl PollerState {
    /// Whether the next batch is to be dispatched now, if there is room.
    pub fn is_ready(self, has_idle_writer: impl FnOnce() -> bool) -> bool {
        match self.pending {
            Pending::Nothing => false,
            Pending::PartialBatch => self.is_source_drained && has_idle_writer(),
            Pending::GrowingBatch => has_idle_writer(),
            Pending::FullBatch => true,
        }
    }

    /// How long the next poll waits for a first message.
    pub fn poll_timeout(self, longest: Duration) -> Duration {
        match (self.pending, self.is_source_drained) {
            // A poll that doesn't wait serves a single event of the client, and log lines and statistics may come
            // before a rebalance.
            (Pending::FullBatch, _) => SERVE_POLL.min(longest),
            (_, false) => Duration::ZERO,
            (Pending::Nothing, true) => longest,
            (Pending::PartialBatch | Pending::GrowingBatch, true) => FILL_POLL.min(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_goes_at_once_a_growing_one_to_an_idle_writer_and_a_partial_one_when_nothing_more_is_ready()
     {
        use Pending::{FullBatch, GrowingBatch, Nothing, PartialBatch};
        let longest = Duration::from_secs(1);
        for (pending, is_source_drained, idle, is_ready, timeout) in [
            (Nothing, false, true, false, Duration::ZERO),
            (Nothing, true, true, false, longest),
            (PartialBatch, false, true, false, Duration::ZERO),
            (PartialBatch, true, false, false, FILL_POLL),
            (PartialBatch, true, true, true, FILL_POLL),
            (GrowingBatch, false, false, false, Duration::ZERO),
            (GrowingBatch, false, true, true, Duration::ZERO),
            (GrowingBatch, true, false, false, FILL_POLL),
            (GrowingBatch, true, true, true, FILL_POLL),
            (FullBatch, false, false, true, SERVE_POLL),
            (FullBatch, true, false, true, SERVE_POLL),
        ] {
            let state = PollerState {
                pending,
                is_source_drained,
            };
            assert_eq!(state.is_ready(|| idle), is_ready, "{state:?}, idle {idle}");
            assert_eq!(state.poll_timeout(longest), timeout, "{state:?}");
        }
    }
}
