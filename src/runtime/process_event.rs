//! The events that end a process, for its supervisor.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::failure::Failure;

/// Each thread ends once, and the first few failures are enough.
const QUEUE: usize = 64;

pub enum ProcessEvent {
    /// SIGTERM or SIGINT.
    StopRequested,
    /// A thread has ended: it returned, or it panicked.
    ThreadEnded {
        thread: String,
        result: Result<(), Failure>,
    },
    /// A failure that no thread returns, such as one seen in a callback.
    Failed(Failure),
}

/// The sending side, for threads and callbacks.
#[derive(Clone)]
pub struct ProcessEvents(Sender<ProcessEvent>);

impl ProcessEvents {
    pub fn channel() -> (Self, Receiver<ProcessEvent>) {
        let (sender, receiver) = bounded(QUEUE);
        (Self(sender), receiver)
    }

    /// Reports a failure; never waits.
    pub fn failed(&self, failure: Failure) {
        // A full channel means that the supervisor has enough reasons to stop already.
        let _ = self.0.try_send(ProcessEvent::Failed(failure));
    }

    /// Reports that a stop was requested; never waits.
    pub fn stop_requested(&self) {
        // If the channel is full, the stop signal has the same effect.
        let _ = self.0.try_send(ProcessEvent::StopRequested);
    }

    pub(super) fn thread_ended(&self, thread: String, result: Result<(), Failure>) {
        // The supervisor is gone only when the process ends anyway.
        let _ = self.0.send(ProcessEvent::ThreadEnded { thread, result });
    }
}
