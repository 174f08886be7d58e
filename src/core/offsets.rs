//! Pure offset bookkeeping: which records of which partition are in flight, and up to where all is
//! settled. No I/O; time is an argument.
//!
//! It goes by the offsets *received*, in their order, never by arithmetic on them: compaction and
//! transaction markers leave gaps. What arrives for an old epoch is ignored.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use foldhash::fast::FixedState;

use super::partition::{Epoch, Offset, Partition};
use super::run::RecordRun;

/// The bookkeeping of all assigned partitions. The committer owns it, alone.
#[derive(Debug, Default)]
pub struct OffsetTracker {
    partitions: HashMap<Partition, PartitionOffsets, FixedState>,
    /// Records received and not yet below the committable offset, over all partitions.
    held: usize,
}

/// A position that may be committed: everything below `offset` is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    pub partition: Partition,
    pub epoch: Epoch,
    pub offset: Offset,
}

#[derive(Debug)]
struct PartitionOffsets {
    epoch: Epoch,
    /// From the oldest unsettled record on; its front is never settled.
    received: VecDeque<Received>,
    /// How many of `received` may still be settled.
    in_flight: usize,
    /// Everything below is received or was never there.
    position: Offset,
    committable: Offset,
    committed: Option<Offset>,
}

#[derive(Debug)]
struct Received {
    offset: Offset,
    taken_at: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Settled,
    /// Given up unsettled: nobody waits for it, and nothing at or above it is committed.
    Abandoned,
}

impl OffsetTracker {
    /// Begins an epoch of a partition at `start`; `committed` is what the group has committed.
    pub fn assign(
        &mut self,
        partition: Partition,
        epoch: Epoch,
        start: Offset,
        committed: Option<Offset>,
    ) {
        let offsets = PartitionOffsets {
            epoch,
            received: VecDeque::new(),
            in_flight: 0,
            position: start,
            committable: start,
            committed,
        };
        self.forget(partition);
        self.partitions.insert(partition, offsets);
    }

    /// Forgets a partition; what arrives for it later is ignored.
    pub fn forget(&mut self, partition: Partition) {
        if let Some(offsets) = self.partitions.remove(&partition) {
            self.held -= offsets.received.len();
        }
    }

    /// Records that the bookkeeping has to remember: those in flight, and those settled above one that
    /// isn't. One stuck record lets this grow as far as the poller reads on.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Records that go to a writer now, in the order in which they were received.
    pub fn dispatched(&mut self, run: RecordRun, taken_at: Instant) {
        let Some(offsets) = self.current(run.partition, run.epoch) else {
            return;
        };
        for offset in run.offsets() {
            debug_assert!(
                offset >= offsets.position,
                "records arrive in the order of their offsets"
            );
            offsets.position = offset.next();
            offsets.in_flight += 1;
            offsets.received.push_back(Received {
                offset,
                taken_at,
                state: State::InFlight,
            });
        }
        // A gap before the first of them is passed over.
        let passed = offsets.advance();
        debug_assert_eq!(
            passed, 0,
            "what was settled at the front went at its settlement"
        );
        self.held += run.count();
    }

    /// Records that are stored, or acknowledged as dead letters. Says how many of them were in flight
    /// in the current epoch: a repeated or late settlement counts nothing.
    pub fn settled(&mut self, run: RecordRun) -> usize {
        self.finish(run, State::Settled)
    }

    /// Records that this process won't settle any more.
    pub fn abandoned(&mut self, run: RecordRun) -> usize {
        self.finish(run, State::Abandoned)
    }

    fn finish(&mut self, run: RecordRun, state: State) -> usize {
        let Some(offsets) = self.current(run.partition, run.epoch) else {
            return 0;
        };
        let mut finished = 0;
        let Some(mut index) = offsets.index_of(run.first) else {
            return 0;
        };
        for offset in run.offsets() {
            let Some(received) = offsets.received.get_mut(index) else {
                break;
            };
            if received.offset != offset {
                break;
            }
            if received.state == State::InFlight {
                received.state = state;
                finished += 1;
            }
            index += 1;
        }
        offsets.in_flight -= finished;
        self.held -= offsets.advance();
        finished
    }

    /// Where the poller stands after it handed over everything below `position`: transaction markers
    /// and compaction leave no record, but move it.
    pub fn reached(&mut self, partition: Partition, epoch: Epoch, position: Offset) {
        let Some(offsets) = self.current(partition, epoch) else {
            return;
        };
        offsets.position = offsets.position.max(position);
        let passed = offsets.advance();
        debug_assert_eq!(
            passed, 0,
            "what was settled at the front went at its settlement"
        );
    }

    /// The next offset to read, below which all is settled.
    #[must_use]
    pub fn committable(&self, partition: Partition) -> Option<Offset> {
        self.partitions
            .get(&partition)
            .map(|offsets| offsets.committable)
    }

    /// The committable offsets that the group doesn't have yet. Never one below what is committed.
    #[must_use]
    pub fn uncommitted(&self) -> Vec<Commit> {
        let mut commits: Vec<Commit> = self
            .partitions
            .iter()
            .filter(|(_, offsets)| offsets.committed < Some(offsets.committable))
            .map(|(&partition, offsets)| Commit {
                partition,
                epoch: offsets.epoch,
                offset: offsets.committable,
            })
            .collect();
        commits.sort_unstable_by_key(|commit| commit.partition);
        commits
    }

    /// Whether the group lacks a first committed offset: that one is due at once, or a crash under
    /// `auto_offset_reset: latest` would skip what came meanwhile.
    #[must_use]
    pub fn has_never_committed(&self) -> bool {
        self.partitions
            .values()
            .any(|offsets| offsets.committed.is_none())
    }

    /// The broker has acknowledged this commit. Says whether its partition is still in that epoch.
    pub fn committed(&mut self, commit: Commit) -> bool {
        let Some(offsets) = self.current(commit.partition, commit.epoch) else {
            return false;
        };
        offsets.committed = offsets.committed.max(Some(commit.offset));
        true
    }

    /// Records of this partition that may still be settled.
    #[must_use]
    pub fn in_flight(&self, partition: Partition) -> usize {
        self.partitions
            .get(&partition)
            .map_or(0, |offsets| offsets.in_flight)
    }

    /// When the record that has waited longest for its settlement was taken off Kafka.
    #[must_use]
    pub fn oldest_in_flight(&self) -> Option<Instant> {
        self.partitions
            .values()
            .filter_map(|offsets| offsets.received.front())
            .map(|received| received.taken_at)
            .min()
    }

    fn current(&mut self, partition: Partition, epoch: Epoch) -> Option<&mut PartitionOffsets> {
        self.partitions
            .get_mut(&partition)
            .filter(|offsets| offsets.epoch == epoch)
    }
}

impl PartitionOffsets {
    /// Moves the committable offset over the settled front; once nothing is left, up to the position.
    /// Says how many records it passed.
    fn advance(&mut self) -> usize {
        let before = self.received.len();
        while self
            .received
            .front()
            .is_some_and(|front| front.state == State::Settled)
        {
            self.received.pop_front();
        }
        self.committable = match self.received.front() {
            // Everything below the oldest unsettled record is settled or was never there.
            Some(front) => front.offset,
            None => self.position,
        };
        before - self.received.len()
    }

    /// Where `offset` stands in `received`. Offsets are dense but for gaps, so it is at most as many
    /// places from the front as it is offsets away: exact without gaps, else a binary search below.
    fn index_of(&self, offset: Offset) -> Option<usize> {
        let front = self.received.front()?.offset;
        if offset < front {
            return None;
        }
        let guess = usize::try_from(offset.since(front)).unwrap_or(usize::MAX);
        if self
            .received
            .get(guess)
            .is_some_and(|received| received.offset == offset)
        {
            return Some(guess);
        }
        self.received
            .binary_search_by_key(&offset, |received| received.offset)
            .ok()
    }
}

#[cfg(test)]
mod tests;
