//! A writer: takes a batch, turns its records into documents, and settles each record, stored or
//! dead-lettered. Blocking; as many of them as are configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::debug;

use super::batch_write::{BatchWrite, Left};
use super::failure::Failure;
use super::gate::Gate;
use super::messages::{ToCommitter, Weight};
use super::stop::StopSignal;
use super::wake_up::WakeUp;
use crate::core::assignment::Assignment;
use crate::core::availability::Permit;
use crate::core::dead_letter::ConsumerIdentity;
use crate::core::document::{Documents, ReceivedAt};
use crate::core::record::{Batch, Record};
use crate::core::run::RecordRun;
use crate::kafka::DeadLetterProducer;
use crate::mongo::{InsertSession, MongoDbHandler};
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

/// How often an idle writer looks whether MongoDB is to be probed.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// What all writers share.
pub struct WriterContext {
    pub mongodb: Arc<MongoDbHandler>,
    pub dead_letters: Arc<DeadLetterProducer>,
    pub committer: Sender<ToCommitter>,
    pub assignment: Arc<Assignment>,
    pub gate: Arc<Gate>,
    pub stop: StopSignal,
    pub metrics: Arc<MetricsCollector>,
    pub identity: ConsumerIdentity,
    pub idle: AtomicUsize,
    /// Half of the batches that may wait are through.
    pub queue_room: WakeUp,
    pub rejection_log: RateLimited,
    pub max_attempts: u32,
    pub retry_backoff: Duration,
    pub redirects: bool,
    pub max_consecutive_rejections: u64,
    pub consecutive_rejections: AtomicU64,
}

pub struct Writer {
    pub batches: Receiver<Batch>,
    pub context: Arc<WriterContext>,
}

impl Writer {
    /// Runs until the poller is gone and its batches are through.
    ///
    /// # Errors
    /// When MongoDB refuses us, or a record can be neither stored nor dead-lettered.
    pub fn run(self) -> Result<(), Failure> {
        let context = &*self.context;
        let mut documents = Documents::default();
        let mut session = InsertSession::default();
        let most_waiting = self.batches.capacity().unwrap_or(0);
        loop {
            context.idle.fetch_add(1, Ordering::AcqRel);
            let received = self.batches.recv_timeout(IDLE_LOOK);
            context.idle.fetch_sub(1, Ordering::AcqRel);
            match received {
                Ok(batch) => {
                    if self.batches.len() <= most_waiting / 2 {
                        context.queue_room.wake();
                    }
                    let busy = context.metrics.busy_writer();
                    context.store_batch(batch, &mut documents, &mut session)?;
                    drop(busy);
                }
                Err(RecvTimeoutError::Timeout) => {
                    session.close();
                    context.probe_if_due();
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

impl WriterContext {
    /// Settles every record of `batch`, or gives it up.
    ///
    /// # Errors
    /// What ends the process; the records without an end are given up then, uncommitted.
    pub fn store_batch(
        &self,
        mut batch: Batch,
        documents: &mut Documents,
        session: &mut InsertSession,
    ) -> Result<(), Failure> {
        self.let_go_of_revoked(&mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.metrics.observe_batch_size(batch.len());
        let received_at = ReceivedAt::new(SystemTime::now());
        documents.clear();
        let mut rejections = Vec::new();
        for (index, record) in batch.records().iter().enumerate() {
            if let Err(rejection) = documents.push(index, batch.value(record), &received_at) {
                rejections.push((index, rejection));
            }
        }
        let mut batch_write = BatchWrite::new(self, &batch, session);
        let result = batch_write
            .dead_letter_all(rejections, 0)
            .and_then(|()| batch_write.run(documents));
        batch_write.end_probe();
        let given_up = batch_write.give_up_the_rest();
        match result {
            Err(Left::Failed(failure)) => Err(failure),
            // What is ours is given up for a stop alone: else its partition would stand still, silently.
            Ok(()) | Err(Left::GivenUp) if given_up > 0 && !self.stop.is_stopping() => {
                Err(Failure::Running(format!(
                    "{given_up} records were left without an end: they stay uncommitted"
                )))
            }
            Ok(()) | Err(Left::GivenUp) => Ok(()),
        }
    }

    /// Records whose partition went to another member are its to store.
    fn let_go_of_revoked(&self, batch: &mut Batch) {
        let gone = batch.take_if(|id| !self.assignment.is_current(id.partition, id.epoch));
        if !gone.is_empty() {
            debug!(
                "{} records of partitions that are gone were dropped",
                gone.len()
            );
            self.abandon(gone.iter());
        }
    }

    pub(super) fn abandon<'a>(&self, records: impl Iterator<Item = &'a Record> + Clone) {
        let runs = RecordRun::collect(records.clone().map(|record| record.id));
        let weight = records.map(Weight::of).sum();
        // A committer that is gone has ended the process already.
        let _ = self.committer.send(ToCommitter::Abandoned { runs, weight });
    }

    fn probe_if_due(&self) {
        if self.gate.is_available() || self.gate.permit() != Permit::Probe {
            return;
        }
        match self.mongodb.ping() {
            Ok(()) => self.gate.succeeded(),
            Err(error) => self.gate.failed(&error.to_string()),
        }
    }
}
