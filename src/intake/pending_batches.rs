//! The batches that wait to be dispatched: the next one, and behind it the messages that came while it was
//! full and waited for room.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use crate::core::batching::Pending;
use crate::core::partition::{RecordId, TopicPartition};
use crate::core::record::{Batch, Weight};

/// Consumption is paused at once when this many messages wait behind a full batch. While it waits for room, each poll
/// may bring one.
const MOST_BEHIND: usize = 100;

pub struct PendingBatches {
    /// No batch is empty, and only the last one may have room.
    batches: VecDeque<Batch>,
    /// A batch of so many messages goes to an idle writer, even if it may grow further.
    batch_size: usize,
    /// The most messages of the last batch; at least `batch_size`.
    limit: usize,
    batch_bytes: usize,
    /// The size of the last batch: the next one will probably need as much memory.
    expected: Weight,
}

impl PendingBatches {
    pub fn new(batch_size: usize, batch_bytes: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            batch_size,
            limit: batch_size,
            batch_bytes,
            expected: Weight::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The partitions of all pending records.
    pub fn partitions(&self) -> BTreeSet<TopicPartition> {
        let records = self.batches.iter().flat_map(Batch::records);
        records.map(|record| record.id.partition).collect()
    }

    pub fn state(&self) -> Pending {
        match self.batches.front() {
            None => Pending::Nothing,
            Some(batch) if self.batches.len() > 1 || !self.has_room(batch) => Pending::FullBatch,
            Some(batch) if batch.len() >= self.batch_size => Pending::GrowingBatch,
            Some(_) => Pending::PartialBatch,
        }
    }

    /// Whether consumption has to pause, because too much waits behind the next batch.
    pub fn is_overfull(&self) -> bool {
        let behind = self.batches.iter().skip(1);
        let (messages, bytes) = behind.fold((0, 0), |(messages, bytes), batch| {
            (messages + batch.len(), bytes + batch.bytes())
        });
        messages >= MOST_BEHIND || bytes >= self.batch_bytes
    }

    /// The batch that the next record goes into. If there is none with room, a new one begins `now`, and takes up to
    /// `limit` messages.
    pub fn filling(
        &mut self,
        now: impl FnOnce() -> Instant,
        limit: impl FnOnce() -> usize,
    ) -> &mut Batch {
        if self
            .batches
            .back()
            .is_none_or(|batch| !self.has_room(batch))
        {
            self.limit = limit();
            let Weight { messages, bytes } = self.expected;
            self.batches
                .push_back(Batch::with_capacity(now(), messages, bytes));
        }
        self.batches
            .back_mut()
            .expect("invariant: there is one with room")
    }

    /// Offers the next batch to `take`, which gives it back if it has no room for it. Returns `false` only if the batch
    /// was given back.
    pub fn offer(&mut self, take: impl FnOnce(Batch) -> Result<(), Batch>) -> bool {
        let Some(batch) = self.batches.pop_front() else {
            return true;
        };
        let size = Weight {
            messages: batch.len(),
            bytes: batch.bytes(),
        };
        match take(batch) {
            Ok(()) => {
                self.expected = size;
                true
            }
            Err(batch) => {
                self.batches.push_front(batch);
                false
            }
        }
    }

    /// Drops the records for which `is_gone` returns true, and returns their number.
    pub fn drop_if(&mut self, mut is_gone: impl FnMut(RecordId) -> bool) -> usize {
        let dropped = self
            .batches
            .iter_mut()
            .map(|batch| batch.remove_if(&mut is_gone))
            .sum();
        self.batches.retain(|batch| !batch.is_empty());
        dropped
    }

    fn has_room(&self, batch: &Batch) -> bool {
        batch.len() < self.limit && batch.bytes() < self.batch_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::{Epoch, Offset};
    use crate::core::record::Timestamp;

    fn put(pending: &mut PendingBatches, partition: i32, offset: i64, bytes: usize) {
        put_below(pending.batch_size, pending, partition, offset, bytes);
    }

    /// The same where a batch that begins now may have up to `limit` records.
    fn put_below(
        limit: usize,
        pending: &mut PendingBatches,
        partition: i32,
        offset: i64,
        bytes: usize,
    ) {
        let id = RecordId {
            partition: TopicPartition::consumed(partition),
            epoch: Epoch(1),
            offset: Offset(offset),
        };
        let value = vec![0; bytes];
        let batch = pending.filling(Instant::now, || limit);
        batch.push(id, Timestamp::NotAvailable, None, Some(&value), None);
    }

    /// Takes the next batch, and returns its size.
    fn taken(pending: &mut PendingBatches) -> Option<usize> {
        let mut size = None;
        pending.offer(|batch| {
            size = Some(batch.len());
            Ok(())
        });
        size
    }

    #[test]
    fn a_record_after_a_full_batch_begins_another_batch() {
        let mut pending = PendingBatches::new(2, 1000);
        assert_eq!(pending.state(), Pending::Nothing);
        put(&mut pending, 0, 0, 1);
        assert_eq!(pending.state(), Pending::PartialBatch);
        put(&mut pending, 0, 1, 1);
        assert_eq!(pending.state(), Pending::FullBatch);
        put(&mut pending, 0, 2, 1);
        assert!(!pending.offer(Err), "it comes back");
        assert_eq!(taken(&mut pending), Some(2));
        assert_eq!(pending.state(), Pending::PartialBatch);
        assert_eq!(taken(&mut pending), Some(1));
        assert_eq!(taken(&mut pending), None);
    }

    #[test]
    fn a_batch_can_be_full_by_its_bytes_and_too_much_behind_it_is_noticed() {
        let mut pending = PendingBatches::new(100, 1000);
        put(&mut pending, 0, 0, 1000);
        assert!(pending.state() == Pending::FullBatch && !pending.is_overfull());
        put(&mut pending, 0, 1, 999);
        assert!(!pending.is_overfull());
        put(&mut pending, 0, 2, 1);
        assert!(pending.is_overfull());
        let mut small = PendingBatches::new(1, 1000);
        for offset in 0..100 {
            put(&mut small, 0, offset, 1);
            assert!(!small.is_overfull(), "{offset}");
        }
        put(&mut small, 0, 100, 1);
        assert!(small.is_overfull());
    }

    #[test]
    fn a_batch_grows_up_to_the_limit_at_its_beginning() {
        let mut pending = PendingBatches::new(2, 1000);
        for (limit, state) in [
            (4, Pending::PartialBatch),
            (4, Pending::GrowingBatch),
            (3, Pending::GrowingBatch),
            (3, Pending::FullBatch),
            (9, Pending::FullBatch),
            (9, Pending::FullBatch),
        ] {
            put_below(limit, &mut pending, 0, 0, 1);
            assert_eq!(pending.state(), state, "{limit}");
        }
        assert_eq!(taken(&mut pending), Some(4));
        assert_eq!(pending.state(), Pending::GrowingBatch);
        assert_eq!(taken(&mut pending), Some(2));
    }

    #[test]
    fn a_batch_grows_up_to_its_most_bytes() {
        let mut pending = PendingBatches::new(2, 1000);
        for (bytes, state) in [
            (1, Pending::PartialBatch),
            (998, Pending::GrowingBatch),
            (1, Pending::FullBatch),
        ] {
            put_below(9, &mut pending, 0, 0, bytes);
            assert_eq!(pending.state(), state, "{bytes}");
        }
    }

    #[test]
    fn records_of_a_partition_that_is_gone_are_dropped() {
        let mut pending = PendingBatches::new(2, 1000);
        for offset in 0..3 {
            put(&mut pending, 7, offset, 1);
        }
        put(&mut pending, 8, 0, 1);
        assert_eq!(
            pending.drop_if(|id| id.partition == TopicPartition::consumed(7)),
            3
        );
        assert_eq!(taken(&mut pending), Some(1));
        put(&mut pending, 8, 1, 1);
        assert_eq!(pending.drop_if(|_| true), 1);
        assert!(pending.is_empty());
    }
}
