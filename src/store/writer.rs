//! A writer takes a batch, turns its records into documents, and settles each record. It blocks while it does so; the
//! configuration says how many writers there are.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::RecvTimeoutError;
use log::debug;

use super::batch_write::BatchWrite;
use super::inserter::Inserter;
use super::observer::BusyWriter;
use super::queue::BatchReceiver;
use super::stage::Stage;
use super::unfinished::Unfinished;
use crate::commit::DispatchedBatch;
use crate::core::availability::{Caller, OutageCause, Permit};
use crate::core::document::{Documents, MessageParts, MessageRules, ReceivedAt};
use crate::core::drain::may_leave_unsettled;
use crate::core::rejection::Rejection;
use crate::core::write_plan::{ErrorSubject, WritePlan};
use crate::failure::Failure;

/// How often an idle writer checks whether it has to probe MongoDB.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// How often a writer checks whether the batches that it has set aside may go on.
const ASIDE_LOOK: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    stage: Arc<Stage>,
    batches: BatchReceiver,
    inserter: Box<dyn Inserter>,
    /// Kept from one batch to the next, so that its memory is used again.
    documents: Documents,
    /// Batches of which only suspects are left, in the order in which they go on. A suspect is a record that MongoDB
    /// refused with a code that isn't in the table. All these records count as in flight, so their number is limited.
    set_aside: VecDeque<SetAside>,
    /// The last event was a batch that had been set aside, so a new batch is next, if there is one.
    is_new_batch_next: bool,
}

/// A batch of which only suspects are left, while MongoDB is unavailable.
struct SetAside {
    batch: DispatchedBatch,
    plan: WritePlan,
}

/// What a writer waits for.
enum Event {
    Batch(DispatchedBatch),
    /// A batch that was set aside may go on.
    SetAside(Box<SetAside>),
    /// No batch came for a while, but some are set aside.
    Nothing,
    /// No batch came for a while.
    Idle,
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
            set_aside: VecDeque::new(),
            is_new_batch_next: false,
        }
    }

    /// Runs until the pool is closed and its batches are done. Fails when MongoDB refuses the worker, or when
    /// a record can be neither stored nor dead-lettered.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        while let Some(event) = self.next_event() {
            self.handle_event(event)?;
        }
        self.finish_set_aside()
    }

    /// `None`: the pool is closed, and no batch waits in its queue.
    fn next_event(&mut self) -> Option<Event> {
        self.drop_what_is_gone();
        let may_go_on =
            !self.set_aside.is_empty() && self.stage.outage.would_permit(Caller::SuspectWriter);
        if may_go_on
            && !mem::take(&mut self.is_new_batch_next)
            && let Some(set_aside) = self.set_aside.pop_front()
        {
            self.is_new_batch_next = true;
            return Some(Event::SetAside(Box::new(set_aside)));
        }
        let timeout = match () {
            () if may_go_on => Duration::ZERO,
            () if self.set_aside.is_empty() => IDLE_LOOK,
            () => ASIDE_LOOK,
        };
        match self.batches.recv(timeout) {
            Ok(batch) => Some(Event::Batch(batch)),
            Err(RecvTimeoutError::Timeout) if self.set_aside.is_empty() => Some(Event::Idle),
            Err(RecvTimeoutError::Timeout) => Some(Event::Nothing),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Batch(batch) => {
                let stage = Arc::clone(&self.stage);
                let started = Instant::now();
                {
                    let _busy = BusyWriter::new(&*stage.observer);
                    self.store_batch(batch)?;
                }
                if let Some(yielding) = &stage.yielding {
                    let now = Instant::now();
                    let rest = yielding.rest_after(now - started, now);
                    // The next turn looks at the stop itself.
                    let _ = stage.stop.wait(rest);
                }
                Ok(())
            }
            Event::SetAside(set_aside) => {
                let stage = Arc::clone(&self.stage);
                let _busy = BusyWriter::new(&*stage.observer);
                self.go_on(*set_aside)
            }
            Event::Idle => {
                self.inserter.idle();
                self.probe_if_due()
            }
            Event::Nothing => Ok(()),
        }
    }

    /// Settles every record of `batch`, or gives it up. A failure ends the process; the records without an
    /// end are then abandoned, and stay uncommitted.
    pub(super) fn store_batch(&mut self, mut batch: DispatchedBatch) -> Result<(), Failure> {
        let stage = &*self.stage;
        // Records of a partition that another member owns now are stored by that member.
        let gone = batch.abandon_if(|id| !stage.ownership.is_ours(id));
        if gone > 0 {
            debug!("{gone} records of partitions that are gone were dropped");
        }
        let records = batch.unsettled().count();
        if records == 0 {
            return Ok(());
        }
        stage.observer.batch_started(records);
        let rejections = transcode(&batch, &stage.rules, &mut self.documents);
        let plan = WritePlan::new(self.documents.indexes().collect(), stage.max_attempts);
        self.write(batch, plan, Some(rejections))
    }

    /// Goes on with a batch that was set aside.
    fn go_on(&mut self, set_aside: SetAside) -> Result<(), Failure> {
        let SetAside { batch, plan } = set_aside;
        // `documents` held other batches meanwhile, so it is filled again. These records had valid documents before,
        // so none of them is rejected now.
        transcode(&batch, &self.stage.rules, &mut self.documents);
        self.write(batch, plan, None)
    }

    /// `rejections`: of a batch that begins, the records that can't become documents.
    fn write(
        &mut self,
        mut batch: DispatchedBatch,
        mut plan: WritePlan,
        rejections: Option<Vec<(usize, Rejection)>>,
    ) -> Result<(), Failure> {
        let stage = &*self.stage;
        let mut batch_write = BatchWrite::new(stage, &mut batch, &mut *self.inserter);
        let rejected = rejections.map_or(Ok(()), |rejections| {
            batch_write.dead_letter_without_documents(rejections, &plan)
        });
        let result = match rejected {
            Ok(()) => batch_write.run(&self.documents, &mut plan),
            Err(Unfinished::Flooded(failure)) => {
                // What can be stored is stored, so that the next start doesn't begin in front of it.
                let _ = batch_write.run(&self.documents, &mut plan);
                Err(Unfinished::Flooded(failure))
            }
            Err(unfinished) => Err(unfinished),
        };
        drop(batch_write);
        match result {
            Ok(()) | Err(Unfinished::GivenUp) => {}
            Err(Unfinished::Flooded(failure) | Unfinished::Failed(failure)) => return Err(failure),
            Err(Unfinished::SetAside) => {
                self.set_aside.push_back(SetAside { batch, plan });
                return Ok(());
            }
        }
        let is_ours = |id| stage.ownership.is_ours(id);
        let left = batch.unsettled().filter(|(_, record)| is_ours(record.id));
        let left = left.count();
        if may_leave_unsettled(left, stage.stop.is_stopping()) {
            return Ok(());
        }
        Err(Failure::running(format!(
            "{left} records were neither stored nor dead-lettered: they stay uncommitted"
        )))
    }

    /// In the batches that are set aside, gives up the records whose partition went to another member.
    fn drop_what_is_gone(&mut self) {
        let ownership = &self.stage.ownership;
        self.set_aside.retain_mut(|SetAside { batch, plan }| {
            if batch.abandon_if(|id| !ownership.is_ours(id)) > 0 {
                let records = batch.batch().records();
                plan.retain(|index| ownership.is_ours(records[index].id));
            }
            !plan.pending().is_empty()
        });
    }

    /// Called when the pool is closed: tries each batch that is set aside once more. What is left then stays
    /// uncommitted.
    fn finish_set_aside(&mut self) -> Result<(), Failure> {
        self.drop_what_is_gone();
        mem::take(&mut self.set_aside)
            .into_iter()
            .try_for_each(|set_aside| self.go_on(set_aside))
    }

    #[cfg(test)]
    pub(super) fn go_on_with_all(&mut self) -> Result<(), Failure> {
        self.finish_set_aside()
    }

    /// Fails if an operator must act before MongoDB is available again: the attempts were used up when the outage began.
    fn probe_if_due(&mut self) -> Result<(), Failure> {
        let outage = &self.stage.outage;
        if outage.is_available() || outage.permit(Caller::Ping) != Permit::Probe {
            return Ok(());
        }
        match self.inserter.ping() {
            Ok(()) => outage.ping_succeeded(),
            Err(error) => match error.subject {
                ErrorSubject::Operator | ErrorSubject::CredentialsAcceptedBefore => {
                    return Err(Failure::mongodb_refused().because(error.summary));
                }
                ErrorSubject::Duplicate
                | ErrorSubject::Record
                | ErrorSubject::Server
                | ErrorSubject::Unknown => outage.failed(OutageCause::NoAnswer, &error.summary),
            },
        }
        Ok(())
    }
}

/// Fills `documents` with the documents of the unsettled records. Returns the records that can't become documents.
fn transcode(
    batch: &DispatchedBatch,
    rules: &MessageRules,
    documents: &mut Documents,
) -> Vec<(usize, Rejection)> {
    let received_at = ReceivedAt::new(SystemTime::now());
    documents.clear();
    let mut rejections = Vec::new();
    for (index, record) in batch.unsettled() {
        let (partition, offset) = record.source();
        let parts = MessageParts {
            key: batch.batch().key(record),
            value: batch.batch().value(record),
            partition,
            offset,
        };
        if let Err(rejection) = documents.push(index, &parts, rules, &received_at) {
            rejections.push((index, rejection));
        }
    }
    rejections
}
