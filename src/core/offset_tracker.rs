//! Pure offset bookkeeping: which records of which partition are in flight, and up to which offset all
//! records are settled. No I/O; time is an argument.
//!
//! *Invariant:* the bookkeeping uses the offsets *received*, in their order, and never computes which
//! offsets there should be: compaction and transaction markers leave gaps.
//!
//! *Invariant:* whatever arrives for an old epoch is ignored.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use foldhash::fast::FixedState;

use super::partition::{Epoch, Offset, TopicPartition};
use super::record::Timestamp;
use super::record_run::RecordRun;
use super::stall::{Standing, WaitsFor};

/// The bookkeeping of all assigned partitions. Only the committer has one.
#[derive(Debug, Default)]
pub struct OffsetTracker {
    partitions: HashMap<TopicPartition, PartitionOffsets, FixedState>,
    /// Records received and not yet below the committable offset, over all partitions.
    tracked: usize,
}

/// A position that may be committed: everything below `offset` is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    pub offset: Offset,
}

/// When records arrived that are dispatched together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When they were taken off Kafka.
    pub taken_at: Instant,
    /// When the first of them was written to Kafka.
    pub written_at: Timestamp,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The next offset to read: every record below it is settled.
    pub committable: Offset,
    pub committed: Option<Offset>,
    /// Every record that was received is settled.
    pub is_settled: bool,
    /// When the oldest record was written that was received and isn't committed; to the run of records.
    pub oldest_uncommitted: Option<Timestamp>,
    /// When the last record was written below the committable offset.
    pub last_settled_at: Option<Timestamp>,
}

impl PartitionProgress {
    /// When the oldest record was written that isn't committed. `has_records`: there are some behind the committable
    /// offset. Those that weren't received yet were probably written after the last one that was.
    pub fn oldest_waiting(self, has_records: bool) -> Option<Timestamp> {
        let not_received = || self.last_settled_at.filter(|_| has_records);
        self.oldest_uncommitted.or_else(not_received)
    }

    /// Where the commits of the partition stand, whatever its records do.
    pub fn commit_standing(self, is_commit_pending: bool) -> Standing {
        let is_due = is_commit_pending && self.committed < Some(self.committable);
        Standing {
            committable: None,
            committed: self.committed,
            waiting: is_due.then_some(WaitsFor::CommitAnswer),
        }
    }

    /// `has_records`: there is something to read behind the committable offset, or nobody knows.
    /// `is_commit_pending`: a commit is under way, or the last one failed.
    pub fn standing(self, has_records: bool, is_commit_pending: bool) -> Standing {
        let waiting = if !self.is_settled {
            Some(WaitsFor::Settlement)
        } else if is_commit_pending && self.committed < Some(self.committable) {
            Some(WaitsFor::CommitAnswer)
        } else {
            has_records.then_some(WaitsFor::Records)
        };
        Standing {
            committable: Some(self.committable),
            committed: self.committed,
            waiting,
        }
    }
}

#[derive(Debug)]
struct PartitionOffsets {
    epoch: Epoch,
    /// All records from the oldest unsettled one on; the first of them is never settled.
    received: VecDeque<Received>,
    /// When the runs arrived that `received` has records of; the first of them has the oldest unsettled record.
    arrivals: VecDeque<(Offset, Arrival)>,
    /// When the last record below the committable offset was written; to the run of records.
    last_settled_at: Option<Timestamp>,
    /// When the oldest record was written that isn't committed. Within a run, the time of its first record.
    oldest_uncommitted: Option<Timestamp>,
    /// How many of `received` may still be settled.
    in_flight: usize,
    /// Every record below this offset was received.
    position: Offset,
    committable: Offset,
    committed: Option<Offset>,
}

#[derive(Debug)]
struct Received {
    offset: Offset,
    state: RecordState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordState {
    InFlight,
    Settled,
    /// Given up without being settled: nothing waits for it, and no offset above it is committed.
    Abandoned,
}

impl OffsetTracker {
    /// Begins an epoch of a partition at `start`; `committed` is what the group has committed.
    pub fn assign(
        &mut self,
        partition: TopicPartition,
        epoch: Epoch,
        start: Offset,
        committed: Option<Offset>,
    ) {
        let offsets = PartitionOffsets {
            epoch,
            received: VecDeque::new(),
            arrivals: VecDeque::new(),
            last_settled_at: None,
            oldest_uncommitted: None,
            in_flight: 0,
            position: start,
            committable: start,
            committed,
        };
        self.forget(partition);
        self.partitions.insert(partition, offsets);
    }

    /// Forgets a partition; what arrives for it later is ignored.
    pub fn forget(&mut self, partition: TopicPartition) {
        if let Some(offsets) = self.partitions.remove(&partition) {
            self.tracked -= offsets.received.len();
        }
    }

    /// The number of records that the bookkeeping has to remember: those in flight, and those settled above
    /// one in flight. While one record stays unsettled, this grows with every record read above it.
    pub fn tracked(&self) -> usize {
        self.tracked
    }

    /// These records go to a writer now. Runs come in the order in which their records were received.
    pub fn dispatched(&mut self, run: RecordRun, arrival: Arrival) {
        let Some(offsets) = self.current(run.partition, run.epoch) else {
            return;
        };
        offsets.arrivals.push_back((run.first, arrival));
        offsets.oldest_uncommitted.get_or_insert(arrival.written_at);
        for offset in run.offsets() {
            debug_assert!(
                offset >= offsets.position,
                "records arrive in the order of their offsets"
            );
            offsets.position = offset.next();
            offsets.in_flight += 1;
            offsets.received.push_back(Received {
                offset,
                state: RecordState::InFlight,
            });
        }
        // The committable offset moves over a gap before the first of them.
        let passed = offsets.advance();
        debug_assert_eq!(
            passed, 0,
            "a settled record at the front is removed when it is settled"
        );
        self.tracked += run.count();
    }

    /// These records are stored, or acknowledged as dead letters. Returns how many of them were in flight in
    /// the current epoch: a repeated or late settlement isn't counted.
    pub fn settled(&mut self, run: RecordRun) -> usize {
        self.finish(run, RecordState::Settled)
    }

    /// This process gives these records up. Returns how many of them were in flight.
    pub fn abandoned(&mut self, run: RecordRun) -> usize {
        self.finish(run, RecordState::Abandoned)
    }

    fn finish(&mut self, run: RecordRun, state: RecordState) -> usize {
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
            if received.state == RecordState::InFlight {
                received.state = state;
                finished += 1;
            }
            index += 1;
        }
        offsets.in_flight -= finished;
        self.tracked -= offsets.advance();
        finished
    }

    /// The poller has dispatched every record below `position`. Transaction markers and compacted records
    /// move the position without a record.
    pub fn position_reached(&mut self, partition: TopicPartition, epoch: Epoch, position: Offset) {
        let Some(offsets) = self.current(partition, epoch) else {
            return;
        };
        offsets.position = offsets.position.max(position);
        let passed = offsets.advance();
        debug_assert_eq!(
            passed, 0,
            "a settled record at the front is removed when it is settled"
        );
    }

    /// The next offset to read: every record below it is settled.
    pub fn committable(&self, partition: TopicPartition) -> Option<Offset> {
        self.partitions
            .get(&partition)
            .map(|offsets| offsets.committable)
    }

    /// The committable offsets that the group doesn't have yet. Never one below what is committed.
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

    /// The committed offset of this partition, if nothing above it can be committed.
    pub fn committed_already(&self, partition: TopicPartition) -> Option<Commit> {
        let offsets = self.partitions.get(&partition)?;
        (offsets.committed == Some(offsets.committable)).then_some(Commit {
            partition,
            epoch: offsets.epoch,
            offset: offsets.committable,
        })
    }

    /// Whether a partition has no committed offset yet. Its first commit is due at once: otherwise a crash
    /// under `auto_offset_reset: latest` would skip the messages that came meanwhile.
    pub fn has_never_committed(&self) -> bool {
        self.partitions
            .values()
            .any(|offsets| offsets.committed.is_none())
    }

    /// The broker has acknowledged this commit. Returns whether its partition is still in that epoch.
    pub fn committed(&mut self, commit: Commit) -> bool {
        let Some(offsets) = self.current(commit.partition, commit.epoch) else {
            return false;
        };
        offsets.committed = offsets.committed.max(Some(commit.offset));
        offsets.oldest_uncommitted = offsets.oldest_above(commit.offset);
        true
    }

    /// Where each partition stands.
    pub fn progress(&self) -> impl Iterator<Item = (TopicPartition, PartitionProgress)> {
        let progress = |offsets: &PartitionOffsets| PartitionProgress {
            committable: offsets.committable,
            committed: offsets.committed,
            is_settled: offsets.received.is_empty(),
            oldest_uncommitted: offsets.oldest_uncommitted,
            last_settled_at: offsets.last_settled_at,
        };
        self.partitions
            .iter()
            .map(move |(&partition, offsets)| (partition, progress(offsets)))
    }

    /// The number of records of this partition that may still be settled.
    pub fn in_flight(&self, partition: TopicPartition) -> usize {
        self.partitions
            .get(&partition)
            .map_or(0, |offsets| offsets.in_flight)
    }

    /// When the oldest unsettled record was taken off Kafka.
    pub fn oldest_in_flight(&self) -> Option<Instant> {
        self.partitions
            .values()
            .filter_map(|offsets| offsets.arrivals.front())
            .map(|(_, arrival)| arrival.taken_at)
            .min()
    }

    fn current(
        &mut self,
        partition: TopicPartition,
        epoch: Epoch,
    ) -> Option<&mut PartitionOffsets> {
        self.partitions
            .get_mut(&partition)
            .filter(|offsets| offsets.epoch == epoch)
    }
}

impl PartitionOffsets {
    /// Moves the committable offset over the settled records at the front, and up to the position if none is
    /// left. Returns how many records it passed.
    fn advance(&mut self) -> usize {
        let before = self.received.len();
        while self
            .received
            .front()
            .is_some_and(|front| front.state == RecordState::Settled)
        {
            self.received.pop_front();
        }
        self.drop_settled_arrivals();
        self.committable = match self.received.front() {
            // Every record below the oldest unsettled one is settled.
            Some(front) => front.offset,
            None => self.position,
        };
        before - self.received.len()
    }

    fn drop_settled_arrivals(&mut self) {
        let front = self.received.front().map(|front| front.offset);
        let is_settled = |next: Option<&(Offset, Arrival)>| match (front, next) {
            (Some(front), Some((first, _))) => *first <= front,
            (Some(_), None) => false,
            (None, _) => true,
        };
        while !self.arrivals.is_empty() && is_settled(self.arrivals.get(1)) {
            let settled = self.arrivals.pop_front();
            self.last_settled_at = settled.map(|(_, arrival)| arrival.written_at);
        }
    }

    /// When the oldest record was written that was received at `committed` or above.
    fn oldest_above(&self, committed: Offset) -> Option<Timestamp> {
        if committed >= self.position {
            return None;
        }
        let unsettled = self.arrivals.front().map(|(_, arrival)| arrival.written_at);
        if committed >= self.committable {
            unsettled
        } else {
            // Settled meanwhile, and forgotten but for the last one.
            self.last_settled_at.or(unsettled)
        }
    }

    /// The index of `offset` in `received`. Without gaps it is the distance from the front; with gaps, a
    /// binary search finds it.
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
