//! Where the poller stands in each partition: which epoch a record belongs to, and whether it is the
//! next one.

use std::cmp::Ordering;

use crate::core::assignment::Assignment;
use crate::core::partition::{Epoch, Offset, Partition};

/// The poller's view of the assignment, renewed when that changes.
#[derive(Debug, Default)]
pub struct Readings {
    version: u64,
    /// Ascending by partition.
    partitions: Vec<Reading>,
    /// Where the last record's partition stands: records come in runs.
    last: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub partition: Partition,
    pub epoch: Epoch,
    /// The offset after the last record; before the first, where reading began.
    pub next: Offset,
    /// The next gap is to be looked at: an offset was out of the log's range.
    pub is_suspect: bool,
}

/// How a record follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing to look at: it is the next one, or comes after a gap as compaction leaves it.
    Usual(Epoch),
    /// A gap that retention may have made.
    Gap { epoch: Epoch, from: Offset },
    /// The log was cut and goes on below what was read: a new epoch must begin here.
    WentBack { from: Offset },
    /// The partition isn't ours.
    NotOurs,
}

impl Readings {
    /// Follows the assignment; says whether it changed.
    pub fn renew(&mut self, assignment: &Assignment) -> bool {
        let version = assignment.version();
        if version == self.version {
            return false;
        }
        let before = std::mem::take(&mut self.partitions);
        for partition in assignment.partitions() {
            let known = assignment.epoch(partition).zip(assignment.start(partition));
            let Some((epoch, start)) = known else {
                continue;
            };
            let known = before
                .iter()
                .find(|r| r.partition == partition && r.epoch == epoch);
            let fresh = Reading {
                partition,
                epoch,
                next: start,
                is_suspect: false,
            };
            self.partitions.push(known.copied().unwrap_or(fresh));
        }
        self.version = version;
        self.last = 0;
        true
    }

    /// Notes that a record is taken.
    pub fn take(&mut self, partition: Partition, offset: Offset) -> Continuity {
        let Some(reading) = self.reading(partition) else {
            return Continuity::NotOurs;
        };
        let next = std::mem::replace(&mut reading.next, offset.next());
        match offset.cmp(&next) {
            Ordering::Less => Continuity::WentBack { from: next },
            Ordering::Greater if reading.is_suspect => {
                reading.is_suspect = false;
                Continuity::Gap {
                    epoch: reading.epoch,
                    from: next,
                }
            }
            Ordering::Greater | Ordering::Equal => Continuity::Usual(reading.epoch),
        }
    }

    /// An offset was out of range somewhere: the next gap of each partition is to be looked at.
    pub fn suspect_all(&mut self) {
        for reading in &mut self.partitions {
            reading.is_suspect = true;
        }
    }

    #[must_use]
    pub fn epoch(&self, partition: Partition) -> Option<Epoch> {
        self.find(partition)
            .map(|index| self.partitions[index].epoch)
    }

    fn reading(&mut self, partition: Partition) -> Option<&mut Reading> {
        let is_last = self
            .partitions
            .get(self.last)
            .is_some_and(|r| r.partition == partition);
        if !is_last {
            self.last = self.find(partition)?;
        }
        self.partitions.get_mut(self.last)
    }

    fn find(&self, partition: Partition) -> Option<usize> {
        self.partitions
            .binary_search_by_key(&partition, |reading| reading.partition)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(3);

    #[test]
    fn a_record_belongs_to_the_epoch_of_its_assignment() {
        let assignment = Assignment::default();
        let mut readings = Readings::default();
        assert_eq!(readings.take(P, Offset(0)), Continuity::NotOurs);
        let first = assignment.begin(P, Offset(0));
        assert!(readings.renew(&assignment));
        assert!(!readings.renew(&assignment));
        assert_eq!(readings.take(P, Offset(5)), Continuity::Usual(first));
        assert_eq!(
            readings.take(P, Offset(9)),
            Continuity::Usual(first),
            "a gap by compaction"
        );
        readings.suspect_all();
        assert_eq!(readings.take(P, Offset(10)), Continuity::Usual(first));
        let gap = Continuity::Gap {
            epoch: first,
            from: Offset(11),
        };
        assert_eq!(readings.take(P, Offset(15)), gap);
        assert_eq!(
            readings.take(P, Offset(20)),
            Continuity::Usual(first),
            "looked at once"
        );
        assert_eq!(
            readings.take(P, Offset(2)),
            Continuity::WentBack { from: Offset(21) }
        );
        assignment.end(P);
        let second = assignment.begin(P, Offset(0));
        assert!(readings.renew(&assignment));
        assert_eq!(
            readings.take(P, Offset(0)),
            Continuity::Usual(second),
            "begins afresh"
        );
        assignment.end(P);
        readings.renew(&assignment);
        assert_eq!(readings.take(P, Offset(1)), Continuity::NotOurs);
    }
}
