//! What the poller has in hand: the batch that goes next, and behind it what came while that was full
//! and waited for room.

use std::collections::VecDeque;
use std::time::Instant;

use super::messages::Weight;
use crate::core::partition::RecordId;
use crate::core::record::Batch;

/// How many messages may wait behind a full batch before consumption is paused at once: each short wait
/// for room brings one.
const MOST_BEHIND: usize = 100;

pub struct Hand {
    /// None is empty, and only the last one may have room.
    batches: VecDeque<Batch>,
    batch_size: usize,
    batch_bytes: usize,
    /// What the last batch came to: the next one won't be far from it.
    expected: Weight,
}

impl Hand {
    #[must_use]
    pub fn new(batch_size: usize, batch_bytes: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            batch_size,
            batch_bytes,
            expected: Weight::default(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether the batch that goes next can't take more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batches
            .front()
            .is_some_and(|batch| !self.has_room(batch))
    }

    /// Whether as much waits behind a full batch as may.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        let behind = self.batches.iter().skip(1);
        let (messages, bytes) = behind.fold((0, 0), |(messages, bytes), batch| {
            (messages + batch.len(), bytes + batch.bytes())
        });
        messages >= MOST_BEHIND || bytes >= self.batch_bytes
    }

    /// The batch that the next record goes into; where there is none, one begins `now`.
    pub fn filling(&mut self, now: impl FnOnce() -> Instant) -> &mut Batch {
        if self
            .batches
            .back()
            .is_none_or(|batch| !self.has_room(batch))
        {
            let Weight { messages, bytes } = self.expected;
            self.batches
                .push_back(Batch::with_capacity(now(), messages, bytes));
        }
        self.batches
            .back_mut()
            .expect("invariant: there is one with room")
    }

    /// What the batch that goes next weighs in flight.
    #[must_use]
    pub fn weight(&self) -> Option<Weight> {
        let batch = self.batches.front()?;
        Some(batch.records().iter().map(Weight::of).sum())
    }

    /// Takes the batch that goes next.
    pub fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.expected = Weight {
            messages: batch.len(),
            bytes: batch.bytes(),
        };
        Some(batch)
    }

    /// Drops the records for which `is_gone`, and says how many they were.
    pub fn drop_if(&mut self, mut is_gone: impl FnMut(RecordId) -> bool) -> usize {
        let dropped = self
            .batches
            .iter_mut()
            .map(|batch| batch.take_if(&mut is_gone).len())
            .sum();
        self.batches.retain(|batch| !batch.is_empty());
        dropped
    }

    fn has_room(&self, batch: &Batch) -> bool {
        batch.len() < self.batch_size && batch.bytes() < self.batch_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::{Epoch, Offset, Partition};
    use crate::core::record::Timestamp;

    fn put(hand: &mut Hand, partition: i32, offset: i64, bytes: usize) {
        let id = RecordId {
            partition: Partition(partition),
            epoch: Epoch(1),
            offset: Offset(offset),
        };
        let value = vec![0; bytes];
        let batch = hand.filling(Instant::now);
        batch.push(id, Timestamp::NotAvailable, None, Some(&value), None);
    }

    #[test]
    fn a_full_batch_is_followed_by_another() {
        let mut hand = Hand::new(2, 1000);
        assert!(hand.is_empty() && !hand.is_full());
        put(&mut hand, 0, 0, 1);
        assert!(!hand.is_full());
        put(&mut hand, 0, 1, 1);
        assert!(hand.is_full());
        put(&mut hand, 0, 2, 1);
        assert_eq!(hand.weight().map(|weight| weight.messages), Some(2));
        assert_eq!(hand.pop().map(|batch| batch.len()), Some(2));
        assert!(!hand.is_full());
        assert_eq!(hand.pop().map(|batch| batch.len()), Some(1));
        assert!(hand.pop().is_none());
    }

    #[test]
    fn bytes_fill_a_batch_as_well_and_what_waits_behind_it_is_bounded() {
        let mut hand = Hand::new(100, 1000);
        put(&mut hand, 0, 0, 1000);
        assert!(hand.is_full() && !hand.is_overfull());
        put(&mut hand, 0, 1, 999);
        assert!(!hand.is_overfull());
        put(&mut hand, 0, 2, 1);
        assert!(hand.is_overfull());
        let mut small = Hand::new(1, 1000);
        for offset in 0..100 {
            put(&mut small, 0, offset, 1);
            assert!(!small.is_overfull(), "{offset}");
        }
        put(&mut small, 0, 100, 1);
        assert!(small.is_overfull());
    }

    #[test]
    fn records_of_a_partition_that_is_gone_leave_the_hand() {
        let mut hand = Hand::new(2, 1000);
        for offset in 0..3 {
            put(&mut hand, 7, offset, 1);
        }
        put(&mut hand, 8, 0, 1);
        assert_eq!(hand.drop_if(|id| id.partition == Partition(7)), 3);
        assert_eq!(hand.weight().map(|weight| weight.messages), Some(1));
        assert_eq!(hand.drop_if(|_| true), 1);
        assert!(hand.is_empty());
    }
}
