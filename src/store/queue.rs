//! The queue of batches in front of the writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::commit::DispatchedBatch;
use crate::runtime::WakeUp;

/// The sending side.
pub(super) struct BatchSender {
    batches: Sender<DispatchedBatch>,
    shared: Arc<Shared>,
}

/// The receiving side, one for each writer.
#[derive(Clone)]
pub(super) struct BatchReceiver {
    batches: Receiver<DispatchedBatch>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The number of writers that wait for a batch.
    idle: AtomicUsize,
    /// Woken when half of the queue is free again.
    room: WakeUp,
}

pub(super) fn batch_queue(capacity: usize) -> (BatchSender, BatchReceiver) {
    let (sender, receiver) = bounded(capacity);
    let shared = Arc::new(Shared::default());
    let batches = BatchSender {
        batches: sender,
        shared: Arc::clone(&shared),
    };
    let receiver = BatchReceiver {
        batches: receiver,
        shared,
    };
    (batches, receiver)
}

impl BatchSender {
    pub(super) fn is_full(&self) -> bool {
        self.batches.is_full()
    }

    /// Whether a batch sent now is taken at once.
    pub(super) fn has_idle_receiver(&self) -> bool {
        self.shared.idle.load(Ordering::Acquire) > 0 && self.batches.is_empty()
    }

    /// Never waits. Returns whether the batch is in the queue; otherwise the batch was dropped, which
    /// abandons its records.
    pub(super) fn send(&self, batch: DispatchedBatch) -> bool {
        self.batches.try_send(batch).is_ok()
    }

    /// Waits until half of the queue is free, up to `timeout`.
    pub(super) fn wait_for_room(&self, timeout: Duration) {
        self.shared.room.wait(timeout);
    }
}

impl BatchReceiver {
    /// Waits for a batch, up to `timeout`.
    pub(super) fn recv(&self, timeout: Duration) -> Result<DispatchedBatch, RecvTimeoutError> {
        self.shared.idle.fetch_add(1, Ordering::AcqRel);
        let received = self.batches.recv_timeout(timeout);
        self.shared.idle.fetch_sub(1, Ordering::AcqRel);
        let half = self.batches.capacity().unwrap_or(0) / 2;
        if received.is_ok() && self.batches.len() <= half {
            self.shared.room.wake();
        }
        received
    }
}
