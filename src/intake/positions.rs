//! The poller's position in each partition: which epoch a record belongs to, and whether it follows the one
//! before it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::core::partition::{Epoch, Offset, TopicPartition};
use crate::kafka::Assignment;

/// The poller's own copy of the assignment, renewed when the assignment changes.
#[derive(Debug, Default)]
pub struct Positions {
    version: u64,
    /// Ascending by partition.
    partitions: Vec<Position>,
    /// The index of the last record's partition. The next record is probably of the same one.
    last: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Position {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    /// The offset after the last record; before the first record, the offset where reading began.
    pub next: Offset,
    /// The next gap has to be checked: an offset was out of the log's range.
    pub is_suspect: bool,
}

/// How a record follows the one before it in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// It has the next offset, or comes after a gap such as compaction leaves.
    InOrder(Epoch),
    /// It comes after a gap that retention may have made.
    SuspectGap { epoch: Epoch, from: Offset },
    /// The log was truncated and continues below what was read: a new epoch must begin here.
    WentBack { from: Offset },
    /// The partition isn't ours.
    NotOurs,
}

impl Positions {
    /// Adopts the current assignment. Returns whether it changed.
    pub fn renew(&mut self, assignment: &Assignment) -> bool {
        let version = assignment.version();
        if version == self.version {
            return false;
        }
        let before = std::mem::take(&mut self.partitions);
        for partition in assignment.partitions() {
            let Some((epoch, start)) = assignment.current(partition) else {
                continue;
            };
            let known = before
                .iter()
                .find(|r| r.partition == partition && r.epoch == epoch);
            let fresh = Position {
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

    /// Moves the position behind a record, and says how the record follows the one before it.
    pub fn advance(&mut self, partition: TopicPartition, offset: Offset) -> Sequence {
        let Some(position) = self.position(partition) else {
            return Sequence::NotOurs;
        };
        let next = std::mem::replace(&mut position.next, offset.next());
        match offset.cmp(&next) {
            Ordering::Less => Sequence::WentBack { from: next },
            Ordering::Greater if position.is_suspect => {
                position.is_suspect = false;
                Sequence::SuspectGap {
                    epoch: position.epoch,
                    from: next,
                }
            }
            Ordering::Greater | Ordering::Equal => Sequence::InOrder(position.epoch),
        }
    }

    /// How many offsets of the logs with these ends come after the last records. `None` if no end is known.
    pub fn unread(&self, ends: &BTreeMap<TopicPartition, Offset>) -> Option<u64> {
        let unread = self.partitions.iter().filter_map(|position| {
            let end = ends.get(&position.partition)?;
            Some(end.max(&position.next).since(position.next))
        });
        unread.reduce(u64::saturating_add)
    }

    /// An offset was out of range in some partition: the next gap of every partition has to be checked.
    pub fn suspect_all(&mut self) {
        for position in &mut self.partitions {
            position.is_suspect = true;
        }
    }

    pub fn epoch(&self, partition: TopicPartition) -> Option<Epoch> {
        self.find(partition)
            .map(|index| self.partitions[index].epoch)
    }

    fn position(&mut self, partition: TopicPartition) -> Option<&mut Position> {
        let is_last = self
            .partitions
            .get(self.last)
            .is_some_and(|r| r.partition == partition);
        if !is_last {
            self.last = self.find(partition)?;
        }
        self.partitions.get_mut(self.last)
    }

    fn find(&self, partition: TopicPartition) -> Option<usize> {
        self.partitions
            .binary_search_by_key(&partition, |position| position.partition)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: TopicPartition = TopicPartition::consumed(3);

    #[test]
    fn a_record_has_the_epoch_of_its_assignment_and_is_compared_with_the_record_before_it() {
        let assignment = Assignment::default();
        let mut positions = Positions::default();
        assert_eq!(positions.advance(P, Offset(0)), Sequence::NotOurs);
        let first = assignment.begin(P, Offset(0));
        assert!(positions.renew(&assignment));
        assert!(!positions.renew(&assignment));
        assert_eq!(positions.advance(P, Offset(5)), Sequence::InOrder(first));
        assert_eq!(
            positions.advance(P, Offset(9)),
            Sequence::InOrder(first),
            "a gap by compaction"
        );
        positions.suspect_all();
        assert_eq!(positions.advance(P, Offset(10)), Sequence::InOrder(first));
        let gap = Sequence::SuspectGap {
            epoch: first,
            from: Offset(11),
        };
        assert_eq!(positions.advance(P, Offset(15)), gap);
        assert_eq!(
            positions.advance(P, Offset(20)),
            Sequence::InOrder(first),
            "a gap is checked once"
        );
        assert_eq!(
            positions.advance(P, Offset(2)),
            Sequence::WentBack { from: Offset(21) }
        );
        assignment.end(P);
        let second = assignment.begin(P, Offset(0));
        assert!(positions.renew(&assignment));
        assert_eq!(
            positions.advance(P, Offset(0)),
            Sequence::InOrder(second),
            "begins afresh"
        );
        assignment.end(P);
        positions.renew(&assignment);
        assert_eq!(positions.advance(P, Offset(1)), Sequence::NotOurs);
    }

    #[test]
    fn unread_offsets_are_counted_where_the_end_is_known() {
        let assignment = Assignment::default();
        let mut positions = Positions::default();
        let other = TopicPartition::consumed(1);
        for partition in [P, other] {
            assignment.begin(partition, Offset(10));
        }
        positions.renew(&assignment);
        assert_eq!(positions.unread(&BTreeMap::new()), None);
        let mut ends = BTreeMap::from([(P, Offset(15))]);
        assert_eq!(positions.unread(&ends), Some(5));
        positions.advance(P, Offset(11));
        ends.insert(other, Offset(9));
        assert_eq!(positions.unread(&ends), Some(3), "an old end is no end");
    }
}
