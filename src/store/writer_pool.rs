//! The pool of writers, which takes batches from the poller or from a replay.

use std::sync::Arc;
use std::time::Duration;

use log::debug;

use super::batch_limit::BatchLimit;
use super::inserter::Inserter;
use super::queue::{BatchSender, batch_queue};
use super::stage::Stage;
use super::writer::Writer;
use crate::commit::Dispatcher;
use crate::core::record::{Batch, Weight};
use crate::failure::Failure;
use crate::runtime::Threads;

/// Offers batches to a fixed number of writers. Dropping it closes the pool: the writers end when they have
/// done what is queued.
pub struct WriterPool {
    dispatcher: Dispatcher,
    batches: BatchSender,
    batch_limit: Arc<BatchLimit>,
}

impl WriterPool {
    /// Starts `writers` threads, whose names begin with `name`; each takes an inserter of its own from `inserter`.
    pub fn start(
        threads: &mut Threads,
        name: &str,
        writers: usize,
        stage: Stage,
        dispatcher: Dispatcher,
        inserter: impl Fn() -> Box<dyn Inserter>,
    ) -> Result<Self, Failure> {
        // One batch waits for each writer, so that no writer waits for the next batch.
        let (batches, to_write) = batch_queue(writers);
        let batch_limit = Arc::clone(&stage.batch_limit);
        stage.observer.batch_limit_changed(batch_limit.now());
        let stage = Arc::new(stage);
        for number in 0..writers {
            let writer = Writer::new(Arc::clone(&stage), to_write.clone(), inserter());
            threads.spawn(format!("{name}-{number}"), move || writer.run())?;
        }
        Ok(Self {
            dispatcher,
            batches,
            batch_limit,
        })
    }

    /// Dispatches `batch` if there is room for it, and otherwise gives it back. Never waits.
    pub fn offer(&mut self, batch: Batch) -> Result<(), Batch> {
        // Only the owner of the pool sends, so the queue still has room below if it has room here.
        if self.batches.is_full() || !self.dispatcher.in_flight().has_room(batch.weight()) {
            return Err(batch);
        }
        if !self.batches.send(self.dispatcher.dispatch(batch)) {
            // All writers have ended, so the process is ending. The batch stays uncommitted.
            debug!("no writer is left to take a batch");
        }
        Ok(())
    }

    pub fn has_idle_writer(&self) -> bool {
        self.batches.has_idle_receiver()
    }

    /// The most messages of the next batch.
    pub fn batch_limit(&self) -> usize {
        self.batch_limit.now()
    }

    /// Waits for room, up to `timeout`: in the queue if that is full, and otherwise under the limit of what may be in
    /// flight.
    pub fn wait_for_room(&self, timeout: Duration) {
        if self.batches.is_full() {
            self.batches.wait_for_room(timeout);
        } else {
            self.dispatcher.in_flight().wait_for_room(timeout);
        }
    }

    /// What is in flight now.
    pub fn in_flight(&self) -> Weight {
        self.dispatcher.in_flight().now()
    }
}
