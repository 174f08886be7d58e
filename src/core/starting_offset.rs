//! Where to begin reading a partition, given what the group has committed and what the log still holds.

use super::partition::Offset;

/// At which end of its log a partition begins of which the group has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStart {
    Earliest,
    Latest,
}

/// What the group's commits say about its first start in this topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupHistory {
    /// The group has committed nothing in any partition: this is its first start.
    FirstStart,
    /// The group has started before. The topic had so many partitions then, if its commits say that.
    Started { partitions: Option<i32> },
}

impl FirstStart {
    /// The setting decides for the group's first start alone. A partition that came later begins at its beginning:
    /// otherwise the group would skip what was written before it knew of the partition.
    pub fn of_partition(self, number: i32, history: GroupHistory) -> Self {
        match history {
            GroupHistory::FirstStart => self,
            // Another member has started, and this partition belongs to the same first start.
            GroupHistory::Started {
                partitions: Some(count),
            } if number < count => self,
            GroupHistory::Started { .. } => Self::Earliest,
        }
    }
}

/// The bounds of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// The earliest offset that still exists.
    pub earliest: Offset,
    /// The next offset to be written (or, under transactions, to become readable).
    pub latest: Offset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingOffset {
    /// Continue at the committed offset.
    Committed(Offset),
    /// The group has committed nothing yet: begin here, and commit this offset at once.
    First(Offset),
    /// Retention has deleted the records from `committed` up to `earliest`: they are lost to the group.
    Overtaken { committed: Offset, earliest: Offset },
    /// The committed offset lies beyond the log's end: the topic was recreated, or its log was truncated.
    Recreated { committed: Offset, earliest: Offset },
}

impl StartingOffset {
    pub fn decide(committed: Option<Offset>, bounds: LogBounds, first: FirstStart) -> Self {
        match committed {
            None => Self::First(match first {
                FirstStart::Earliest => bounds.earliest,
                FirstStart::Latest => bounds.latest,
            }),
            Some(committed) if committed < bounds.earliest => Self::Overtaken {
                committed,
                earliest: bounds.earliest,
            },
            Some(committed) if committed > bounds.latest => Self::Recreated {
                committed,
                earliest: bounds.earliest,
            },
            Some(committed) => Self::Committed(committed),
        }
    }

    /// The start while the log's bounds aren't known. `None` where it depends on them. A commit that isn't within
    /// the bounds is noticed when the first record comes.
    pub fn without_bounds(committed: Option<Offset>) -> Option<Self> {
        committed.map(Self::Committed)
    }

    /// The first offset to read.
    pub fn offset(self) -> Offset {
        match self {
            Self::Committed(offset) | Self::First(offset) => offset,
            Self::Overtaken { earliest, .. } | Self::Recreated { earliest, .. } => earliest,
        }
    }

    /// What counts as committed at the start. Nothing does where a commit is due at once, or where it has
    /// to go back.
    pub fn committed(self) -> Option<Offset> {
        match self {
            Self::Committed(offset) => Some(offset),
            Self::Overtaken { committed, .. } => Some(committed),
            Self::First(_) | Self::Recreated { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starting_offset_follows_from_the_commit_and_the_log() {
        let bounds = LogBounds {
            earliest: Offset(10),
            latest: Offset(20),
        };
        let decide = |committed: Option<i64>, first| {
            StartingOffset::decide(committed.map(Offset), bounds, first)
        };
        assert_eq!(
            decide(None, FirstStart::Earliest),
            StartingOffset::First(Offset(10))
        );
        assert_eq!(
            decide(None, FirstStart::Latest),
            StartingOffset::First(Offset(20))
        );
        for first in [FirstStart::Earliest, FirstStart::Latest] {
            assert_eq!(
                decide(Some(10), first),
                StartingOffset::Committed(Offset(10))
            );
            assert_eq!(
                decide(Some(20), first),
                StartingOffset::Committed(Offset(20))
            );
            let overtaken = decide(Some(9), first);
            assert_eq!(
                overtaken,
                StartingOffset::Overtaken {
                    committed: Offset(9),
                    earliest: Offset(10)
                }
            );
            assert_eq!(
                (overtaken.offset(), overtaken.committed()),
                (Offset(10), Some(Offset(9)))
            );
            let recreated = decide(Some(21), first);
            assert_eq!(
                (recreated.offset(), recreated.committed()),
                (Offset(10), None)
            );
        }
    }

    #[test]
    fn only_the_groups_first_start_begins_at_the_end() {
        let latest = FirstStart::Latest;
        let started = |partitions| GroupHistory::Started { partitions };
        for (number, history, expected) in [
            (0, GroupHistory::FirstStart, FirstStart::Latest),
            (2, started(Some(3)), FirstStart::Latest),
            (3, started(Some(3)), FirstStart::Earliest),
            (0, started(None), FirstStart::Earliest),
        ] {
            assert_eq!(
                latest.of_partition(number, history),
                expected,
                "{history:?}"
            );
            let earliest = FirstStart::Earliest.of_partition(number, history);
            assert_eq!(earliest, FirstStart::Earliest);
        }
    }
}
