//! How many messages the next batch may have. The writers tell of their inserts, and the poller asks.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::core::batch_limit::{BatchRange, EndedInsert};

/// The limit for a range of batch sizes. It begins at the most: a batch grows only while all writers are busy.
pub struct BatchLimit {
    range: BatchRange,
    limit: AtomicUsize,
}

impl BatchLimit {
    pub fn new(range: BatchRange) -> Self {
        Self {
            range,
            limit: AtomicUsize::new(range.most),
        }
    }

    /// The most messages of the next batch.
    pub(super) fn now(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Returns the new limit if the insert has changed it.
    pub(super) fn insert_ended(&self, insert: EndedInsert) -> Option<usize> {
        let next = |limit| {
            let next = self.range.limit_after(limit, insert);
            (next != limit).then_some(next)
        };
        self.limit
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
            .then(|| self.now())
    }
}
