//! How much is in flight (taken off Kafka and not settled), against its limits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::core::record::Weight;
use crate::core::room;
use crate::runtime::WakeUp;

/// Shared counters: the dispatcher adds, the committer removes.
pub struct InFlight {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// The number of records that the bookkeeping remembers, as the committer last reported it.
    tracked: AtomicUsize,
    limit: Weight,
    /// Woken when the committer removes something.
    room: WakeUp,
}

impl InFlight {
    pub fn new(limit: Weight) -> Self {
        Self {
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            tracked: AtomicUsize::new(0),
            limit,
            room: WakeUp::default(),
        }
    }

    /// Whether `weight` fits beside what is in flight.
    pub fn has_room(&self, weight: Weight) -> bool {
        let tracked = self.tracked.load(Ordering::Acquire);
        room::has_room(weight, self.now(), tracked, self.limit)
    }

    pub fn now(&self) -> Weight {
        Weight {
            messages: self.messages.load(Ordering::Acquire),
            bytes: self.bytes.load(Ordering::Acquire),
        }
    }

    /// Waits until the committer removes something, up to `timeout`.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.room.wait(timeout);
    }

    pub(super) fn add(&self, weight: Weight) {
        self.messages.fetch_add(weight.messages, Ordering::AcqRel);
        self.bytes.fetch_add(weight.bytes, Ordering::AcqRel);
    }

    pub(super) fn remove(&self, weight: Weight) {
        self.messages.fetch_sub(weight.messages, Ordering::AcqRel);
        self.bytes.fetch_sub(weight.bytes, Ordering::AcqRel);
        self.room.wake();
    }

    /// What the bookkeeping remembers: records in flight, and those settled above one that is stuck.
    pub(super) fn set_tracked(&self, records: usize) {
        self.tracked.store(records, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_fits_within_the_limits_and_always_if_nothing_is_in_flight() {
        let weight = |messages, bytes| Weight { messages, bytes };
        let in_flight = InFlight::new(weight(10, 1000));
        assert!(in_flight.has_room(weight(1, 5000)), "alone it fits");
        in_flight.add(weight(1, 5000));
        assert!(!in_flight.has_room(weight(1, 1)));
        in_flight.remove(weight(1, 5000));
        in_flight.add(weight(9, 500));
        assert!(in_flight.has_room(weight(1, 500)));
        assert!(!in_flight.has_room(weight(2, 2)));
        assert!(!in_flight.has_room(weight(1, 501)));
        in_flight.remove(weight(9, 500));
        in_flight.set_tracked(101);
        assert!(
            !in_flight.has_room(weight(1, 1)),
            "more than ten times the limit is remembered"
        );
        in_flight.set_tracked(100);
        assert!(in_flight.has_room(weight(1, 1)));
        assert_eq!(in_flight.now(), Weight::default());
    }
}
