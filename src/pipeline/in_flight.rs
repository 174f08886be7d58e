//! How much is taken off Kafka and not settled, against its bounds.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::messages::Weight;
use super::wake_up::WakeUp;
use crate::core::record::Record;

/// What a record costs beside its key and value: its entry in the batch, the bookkeeping, a share of
/// its document's fields.
const RECORD_OVERHEAD: usize = 128;

/// How many times the bound on messages in flight a partition may run ahead of one stuck record: what
/// is settled above it is remembered until it is settled, too.
const MAX_AHEAD: usize = 10;

/// Shared as counters: the poller adds, the committer takes away.
pub struct InFlight {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// What the bookkeeping has to remember, as the committer last said.
    held: AtomicUsize,
    max_messages: usize,
    max_bytes: usize,
    /// Something was settled.
    pub room: WakeUp,
}

impl Weight {
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            messages: 1,
            bytes: record.size() + RECORD_OVERHEAD,
        }
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl std::iter::Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(weights: I) -> Self {
        weights.fold(Self::default(), |mut sum, weight| {
            sum += weight;
            sum
        })
    }
}

impl InFlight {
    #[must_use]
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            max_messages,
            max_bytes,
            room: WakeUp::default(),
        }
    }

    /// Whether `weight` fits beside what is in flight. One batch alone always does: a record may be
    /// larger than the bound.
    #[must_use]
    pub fn has_room(&self, weight: Weight) -> bool {
        let now = self.now();
        let held = self.held.load(Ordering::Acquire);
        if held > self.max_messages.saturating_mul(MAX_AHEAD) {
            return false;
        }
        now.messages == 0
            || (now.messages + weight.messages <= self.max_messages
                && now.bytes + weight.bytes <= self.max_bytes)
    }

    #[must_use]
    pub fn now(&self) -> Weight {
        Weight {
            messages: self.messages.load(Ordering::Acquire),
            bytes: self.bytes.load(Ordering::Acquire),
        }
    }

    pub fn add(&self, weight: Weight) {
        self.messages.fetch_add(weight.messages, Ordering::AcqRel);
        self.bytes.fetch_add(weight.bytes, Ordering::AcqRel);
    }

    pub fn remove(&self, weight: Weight) {
        self.messages.fetch_sub(weight.messages, Ordering::AcqRel);
        self.bytes.fetch_sub(weight.bytes, Ordering::AcqRel);
        self.room.wake();
    }

    /// What the bookkeeping holds: records in flight, and those settled above one that is stuck.
    pub fn set_held(&self, records: usize) {
        self.held.store(records, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_but_one_batch_always_fits() {
        let in_flight = InFlight::new(10, 1000);
        let weight = |messages, bytes| Weight { messages, bytes };
        assert!(in_flight.has_room(weight(1, 5000)), "alone it fits");
        in_flight.add(weight(1, 5000));
        assert!(!in_flight.has_room(weight(1, 1)));
        in_flight.remove(weight(1, 5000));
        in_flight.add(weight(9, 500));
        assert!(in_flight.has_room(weight(1, 500)));
        assert!(!in_flight.has_room(weight(2, 2)));
        assert!(!in_flight.has_room(weight(1, 501)));
        in_flight.remove(weight(9, 500));
        in_flight.set_held(101);
        assert!(
            !in_flight.has_room(weight(1, 1)),
            "ten times the bound is held"
        );
        in_flight.set_held(100);
        assert!(in_flight.has_room(weight(1, 1)));
        assert_eq!(in_flight.now(), Weight::default());
    }
}
