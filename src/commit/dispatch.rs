//! A dispatched batch carries its receipt: the committer is told exactly once how each record of it ended.
//!
//! *Invariant:* whatever happens to a batch, even a panic, each record is reported once: as settled, or as
//! abandoned when the batch or the split-off receipt is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::in_flight::InFlight;
use super::messages::{CommitterHandle, CommitterMessage, Outcome, Settlement};
use super::observer::CommitObserver;
use crate::core::partition::RecordId;
use crate::core::record::{Batch, Record, Timestamp, Weight};
use crate::core::record_run::RecordRun;

/// The only maker of dispatched batches.
pub struct Dispatcher {
    committer: CommitterHandle,
    in_flight: Arc<InFlight>,
    observer: Arc<dyn CommitObserver>,
}

impl Dispatcher {
    pub(super) fn new(
        committer: CommitterHandle,
        in_flight: Arc<InFlight>,
        observer: Arc<dyn CommitObserver>,
    ) -> Self {
        Self {
            committer,
            in_flight,
            observer,
        }
    }

    #[cfg(test)]
    pub fn with_limit(
        committer: CommitterHandle,
        limit: Weight,
        observer: Arc<dyn CommitObserver>,
    ) -> Self {
        Self::new(committer, Arc::new(InFlight::new(limit)), observer)
    }

    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Reserves the room for `batch` and tells the committer of its records. Only then does it return what can settle
    /// them, so the committer never hears of a settlement first.
    pub fn dispatch(&self, batch: Batch) -> DispatchedBatch {
        let weight = batch.weight();
        self.in_flight.add(weight);
        self.observer.dispatched(weight, self.in_flight.now());
        self.committer.send(CommitterMessage::Dispatched {
            runs: runs_with_times(batch.records()),
            taken_at: batch.taken_at(),
        });
        DispatchedBatch {
            has_ended: vec![false; batch.len()],
            batch,
            committer: self.committer.clone(),
        }
    }
}

/// The runs of the records, each with the time at which its first record was written.
fn runs_with_times(records: &[Record]) -> Vec<(RecordRun, Timestamp)> {
    let mut records_left = records;
    let runs = RecordRun::collect(records.iter().map(|record| record.id));
    let with_time = |run: RecordRun| {
        let (own, others) = records_left.split_at(run.count());
        records_left = others;
        (run, own[0].timestamp)
    };
    runs.into_iter().map(with_time).collect()
}

/// A batch in flight, with the receipt for its records. A record is identified by its index in the batch.
pub struct DispatchedBatch {
    batch: Batch,
    /// By index: the record's end was reported, or its receipt was split off.
    has_ended: Vec<bool>,
    committer: CommitterHandle,
}

impl DispatchedBatch {
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The records that are neither settled nor abandoned nor split off, with their indexes.
    pub fn unsettled(&self) -> impl Iterator<Item = (usize, &Record)> {
        let records = self.batch.records().iter().enumerate();
        records.filter(|(index, _)| !self.has_ended[*index])
    }

    /// Settles these records. A record that has its end already is left out.
    pub fn settle(&mut self, mut indexes: Vec<usize>, outcome: Outcome) {
        indexes.sort_unstable();
        indexes.retain(|&index| self.end(index));
        let Some((runs, weight)) = self.sum_up(&indexes) else {
            return;
        };
        let written_at = match outcome {
            Outcome::Stored => {
                let records = indexes.iter().map(|&index| &self.batch.records()[index]);
                records.map(|record| record.timestamp).collect()
            }
            _ => Vec::new(),
        };
        self.committer.send(CommitterMessage::Settled(Settlement {
            runs,
            outcome,
            weight,
            taken_at: self.batch.taken_at(),
            written_at,
        }));
    }

    /// Takes the receipt of one record out of the batch. `None` if the record has its end already.
    pub fn split_off(&mut self, index: usize) -> Option<RecordReceipt> {
        self.end(index).then(|| {
            let record = &self.batch.records()[index];
            RecordReceipt {
                id: record.id,
                weight: Weight::of(record),
                taken_at: self.batch.taken_at(),
                committer: Some(self.committer.clone()),
            }
        })
    }

    /// Abandons the unsettled records for which `is_gone` returns true, and returns their number.
    pub fn abandon_if(&mut self, is_gone: impl Fn(RecordId) -> bool) -> usize {
        let gone: Vec<usize> = self
            .unsettled()
            .filter(|(_, record)| is_gone(record.id))
            .map(|(index, _)| index)
            .collect();
        for &index in &gone {
            self.end(index);
        }
        self.report_abandoned(&gone);
        gone.len()
    }

    /// Marks the record as ended. Returns whether it had no end before.
    fn end(&mut self, index: usize) -> bool {
        self.has_ended
            .get_mut(index)
            .is_some_and(|has_ended| !std::mem::replace(has_ended, true))
    }

    fn report_abandoned(&self, indexes: &[usize]) {
        if let Some((runs, weight)) = self.sum_up(indexes) {
            self.committer
                .send(CommitterMessage::Abandoned { runs, weight });
        }
    }

    /// `None` where there is nothing to report.
    fn sum_up(&self, indexes: &[usize]) -> Option<(Vec<RecordRun>, Weight)> {
        if indexes.is_empty() {
            return None;
        }
        let records = || indexes.iter().map(|&index| &self.batch.records()[index]);
        let runs = RecordRun::collect(records().map(|record| record.id));
        Some((runs, records().map(Weight::of).sum()))
    }
}

/// Every record that has no end yet is abandoned.
impl Drop for DispatchedBatch {
    fn drop(&mut self) {
        let open: Vec<usize> = self.unsettled().map(|(index, _)| index).collect();
        self.report_abandoned(&open);
    }
}

/// The receipt for one record, such as a dead letter on its way. Dropping it abandons the record.
pub struct RecordReceipt {
    id: RecordId,
    weight: Weight,
    taken_at: Instant,
    /// `None` once the record has its end.
    committer: Option<CommitterHandle>,
}

impl RecordReceipt {
    pub fn id(&self) -> RecordId {
        self.id
    }

    pub fn settle(mut self, outcome: Outcome) {
        if let Some(committer) = self.committer.take() {
            committer.send(CommitterMessage::Settled(Settlement {
                runs: vec![RecordRun::of(self.id)],
                outcome,
                weight: self.weight,
                taken_at: self.taken_at,
                written_at: Vec::new(),
            }));
        }
    }
}

impl Drop for RecordReceipt {
    fn drop(&mut self) {
        if let Some(committer) = self.committer.take() {
            committer.send(CommitterMessage::Abandoned {
                runs: vec![RecordRun::of(self.id)],
                weight: self.weight,
            });
        }
    }
}
