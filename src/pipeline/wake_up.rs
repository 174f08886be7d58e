//! A wake-up for one thread that waits.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Kept until it is waited for, so none is lost; holds one, since more would say nothing new.
pub struct WakeUp(Sender<()>, Receiver<()>);

impl Default for WakeUp {
    fn default() -> Self {
        let (sender, receiver) = bounded(1);
        Self(sender, receiver)
    }
}

impl WakeUp {
    pub fn wake(&self) {
        // One that is already waiting serves as well.
        let _ = self.0.try_send(());
    }

    /// Waits until there was one since the last wait, up to `timeout`.
    pub fn wait(&self, timeout: Duration) {
        // A time-out is as good an end: the caller looks again.
        let _ = self.1.recv_timeout(timeout);
    }
}
