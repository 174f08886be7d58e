//! What the writers report to the worker or to a replay.

use std::time::Duration;

/// Called for each of these events. The methods must not wait. The worker turns the events into metrics; a replay
/// ignores them.
pub trait StoreObserver: Send + Sync {
    fn writer_started(&self) {}
    fn writer_finished(&self) {}
    /// A writer begins with a batch of this many records.
    fn batch_started(&self, _records: usize) {}
    /// A batch may have so many messages from now on.
    fn batch_limit_changed(&self, _messages: usize) {}
    fn insert_begins(&self) {}
    fn insert_took(&self, _duration: Duration) {}
    fn read_back_begins(&self) {}
    fn read_back_ended(&self) {}
    fn insert_retried(&self) {}
    fn mongodb_available(&self, _available: bool) {}
    /// Messages wait for this no longer.
    fn collection_prepared(&self) {}
}

/// Tells the observer that a writer is busy for as long as this lives, also if the writer panics.
pub(super) struct BusyWriter<'a>(&'a dyn StoreObserver);

impl<'a> BusyWriter<'a> {
    pub(super) fn new(observer: &'a dyn StoreObserver) -> Self {
        observer.writer_started();
        Self(observer)
    }
}

impl Drop for BusyWriter<'_> {
    fn drop(&mut self) {
        self.0.writer_finished();
    }
}
