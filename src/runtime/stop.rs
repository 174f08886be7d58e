//! The request to stop, shared by all threads: a flag with a deadline. The request also ends waits.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Cloned to every thread. Any of them may ask for the stop; the first request counts.
#[derive(Clone)]
pub struct StopSignal {
    /// Nothing is ever sent. Dropping the sender wakes every waiting thread.
    asked: Receiver<Infallible>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Behind a lock, because the thread that asks for the stop drops it.
    sender: Mutex<Option<Sender<Infallible>>>,
    settle_by: OnceLock<Instant>,
}

impl StopSignal {
    pub fn new() -> Self {
        // The capacity doesn't matter: nothing is ever sent.
        let (sender, asked) = bounded(0);
        let shared = Shared {
            sender: Mutex::new(Some(sender)),
            settle_by: OnceLock::new(),
        };
        Self {
            asked,
            shared: Arc::new(shared),
        }
    }

    /// Asks every thread to stop. Whatever can't be settled by `settle_by` is given up, uncommitted.
    pub fn ask(&self, settle_by: Instant) {
        self.shared.settle_by.get_or_init(|| settle_by);
        *self
            .shared
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For a `select!`: disconnected from the request on, and nothing is ever received.
    pub fn asked(&self) -> &Receiver<Infallible> {
        &self.asked
    }

    pub fn is_stopping(&self) -> bool {
        self.settle_by().is_some()
    }

    /// `None` while nobody has asked to stop.
    pub fn settle_by(&self) -> Option<Instant> {
        self.shared.settle_by.get().copied()
    }

    pub fn is_past_deadline(&self) -> bool {
        self.settle_by()
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits for `duration`, or until the stop. Returns whether the stop came.
    pub fn wait(&self, duration: Duration) -> bool {
        match self.asked.recv_timeout(duration) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Waits for the stop, without a limit.
    pub fn wait_for_stop(&self) {
        // The stop drops the sender, which ends the wait.
        if let Ok(never) = self.asked.recv() {
            match never {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_waits_and_is_seen_by_every_clone() {
        let stop = StopSignal::new();
        let other = stop.clone();
        assert!(!other.wait(Duration::ZERO));
        assert!(!other.is_stopping());
        let deadline = Instant::now();
        stop.ask(deadline);
        assert!(other.wait(Duration::from_secs(3600)), "returns at once");
        other.wait_for_stop();
        assert!(other.is_stopping());
        assert!(other.is_past_deadline());
        stop.ask(deadline + Duration::from_secs(1));
        assert_eq!(
            other.settle_by(),
            Some(deadline),
            "the first deadline counts"
        );
    }
}
