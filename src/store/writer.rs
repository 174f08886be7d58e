//! A writer: takes a batch, turns its records into documents, and settles each record. It blocks; there are as
//! many writers as are configured.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::RecvTimeoutError;
use log::debug;

use super::batch_write::BatchWrite;
use super::inserter::Inserter;
use super::observer::BusyWriter;
use super::queue::BatchReceiver;
use super::stage::Stage;
use super::unfinished::Unfinished;
use crate::commit::DispatchedBatch;
use crate::core::availability::Permit;
use crate::core::document::{Documents, ReceivedAt};
use crate::core::rejection::Rejection;
use crate::failure::Failure;

/// How often an idle writer looks whether MongoDB is to be probed.
const IDLE_LOOK: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    stage: Arc<Stage>,
    batches: BatchReceiver,
    inserter: Box<dyn Inserter>,
    /// Kept from one batch to the next for its memory.
    documents: Documents,
}

/// What a writer waits for.
enum Event {
    Batch(DispatchedBatch),
    /// No batch came for a while.
    Idle,
    /// Nobody is left who could offer a batch.
    PoolClosed,
}

impl Writer {
    pub(super) fn new(
        stage: Arc<Stage>,
        batches: BatchReceiver,
        inserter: Box<dyn Inserter>,
    ) -> Self {
        Self {
            stage,
            batches,
            inserter,
            documents: Documents::default(),
        }
    }

    /// Runs until the pool is closed and its batches are done. Fails when MongoDB refuses the worker, or when
    /// a record can be neither stored nor dead-lettered.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        loop {
            match self.next_event() {
                Event::PoolClosed => return Ok(()),
                event => self.handle_event(event)?,
            }
        }
    }

    fn next_event(&self) -> Event {
        match self.batches.recv(IDLE_LOOK) {
            Ok(batch) => Event::Batch(batch),
            Err(RecvTimeoutError::Timeout) => Event::Idle,
            Err(RecvTimeoutError::Disconnected) => Event::PoolClosed,
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Batch(batch) => {
                let stage = Arc::clone(&self.stage);
                let _busy = BusyWriter::new(&*stage.observer);
                self.store_batch(batch)
            }
            Event::Idle => {
                self.inserter.idle();
                self.probe_if_due();
                Ok(())
            }
            Event::PoolClosed => Ok(()),
        }
    }

    /// Settles every record of `batch`, or gives it up. A failure ends the process; the records without an
    /// end are then abandoned, and stay uncommitted.
    pub(super) fn store_batch(&mut self, mut batch: DispatchedBatch) -> Result<(), Failure> {
        let stage = &*self.stage;
        // Records whose partition went to another member are that member's to store.
        let gone = batch.abandon_if(|id| !stage.ownership.is_ours(id));
        if gone > 0 {
            debug!("{gone} records of partitions that are gone were dropped");
        }
        let records = batch.unsettled().count();
        if records == 0 {
            return Ok(());
        }
        stage.observer.batch_started(records);
        let rejections = transcode(&batch, &mut self.documents);
        let mut batch_write = BatchWrite::new(stage, &mut batch, &mut *self.inserter);
        let result = batch_write
            .dead_letter_all(rejections, 0)
            .and_then(|()| batch_write.run(&self.documents));
        drop(batch_write);
        if let Err(Unfinished::Failed(failure)) = result {
            return Err(failure);
        }
        let is_ours = |id| stage.ownership.is_ours(id);
        let left = batch.unsettled().filter(|(_, record)| is_ours(record.id));
        match left.count() {
            // Only a stop may give up records that are ours: otherwise their partition would stand still
            // without a word.
            left if left > 0 && !stage.stop.is_stopping() => Err(Failure::running(format!(
                "{left} records were left without an end: they stay uncommitted"
            ))),
            _ => Ok(()),
        }
    }

    fn probe_if_due(&mut self) {
        let outage = &self.stage.outage;
        if outage.is_available() || outage.permit() != Permit::Probe {
            return;
        }
        match self.inserter.ping() {
            Ok(()) => outage.succeeded(),
            Err(error) => outage.failed(&error),
        }
    }
}

/// Fills `documents` with the documents of the unsettled records. Returns the records that have none.
fn transcode(batch: &DispatchedBatch, documents: &mut Documents) -> Vec<(usize, Rejection)> {
    let received_at = ReceivedAt::new(SystemTime::now());
    documents.clear();
    let mut rejections = Vec::new();
    for (index, record) in batch.unsettled() {
        let value = batch.batch().value(record);
        if let Err(rejection) = documents.push(index, value, &received_at) {
            rejections.push((index, rejection));
        }
    }
    rejections
}
