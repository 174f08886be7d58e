//! A wake-up for one thread that waits.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A wake-up is kept until the next wait, so none is lost. At most one is kept: more would have no further effect.
pub struct WakeUp(Sender<()>, Receiver<()>);

impl Default for WakeUp {
    fn default() -> Self {
        let (sender, receiver) = bounded(1);
        Self(sender, receiver)
    }
}

impl WakeUp {
    pub fn wake(&self) {
        // If one is kept already, it does the same.
        let _ = self.0.try_send(());
    }

    /// Waits until a wake-up comes, up to `timeout`. One that came since the last wait counts.
    pub fn wait(&self, timeout: Duration) {
        // The caller checks its condition again, whether a wake-up came or not.
        let _ = self.1.recv_timeout(timeout);
    }
}
