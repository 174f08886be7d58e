//! Which records of a range of the consumed topic are in the dead letter topic, and why.
//!
//! An outage dead-letters millions of records in a row, for one reason: what is kept is runs of
//! offsets, so that they cost a few bytes. What comes in is gathered, and made runs of now and then.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::core::partition::{Offset, Partition};

/// So many single dead letters of a partition are gathered before they are made runs of.
const GATHERED: usize = 1 << 18;

/// Takes in dead letters, in any order.
#[derive(Debug)]
pub struct IndexBuilder {
    partitions: BTreeMap<Partition, Gathering>,
    reasons: Vec<String>,
}

/// Finds a record's dead letter.
#[derive(Debug)]
pub struct DeadLetterIndex {
    partitions: BTreeMap<Partition, Vec<Run>>,
    reasons: Vec<String>,
}

/// What the dead letter topic has of a record. Of several dead letters the one counts that was replayed
/// most often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed<'a> {
    pub reason: &'a str,
    /// None of its dead letters has the record's value.
    pub value_omitted: bool,
}

#[derive(Debug)]
struct Gathering {
    range: Range<Offset>,
    /// Ascending, without overlaps.
    runs: Vec<Run>,
    single: Vec<Run>,
}

/// Every offset from `first` to `last` is dead-lettered alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: Offset,
    last: Offset,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    /// Its place in the list of reasons.
    reason: u16,
    replay_count: u32,
    value_omitted: bool,
}

impl IndexBuilder {
    /// An index of the records in these ranges; others are not kept.
    pub fn new(ranges: impl IntoIterator<Item = (Partition, Range<Offset>)>) -> Self {
        let gathering = |range| Gathering {
            range,
            runs: Vec::new(),
            single: Vec::new(),
        };
        Self {
            partitions: ranges
                .into_iter()
                .map(|(partition, range)| (partition, gathering(range)))
                .collect(),
            reasons: Vec::new(),
        }
    }

    /// A dead letter of the record at `partition` and `offset` of the consumed topic.
    pub fn insert(
        &mut self,
        partition: Partition,
        offset: Offset,
        reason: &str,
        replay_count: u32,
        value_omitted: bool,
    ) {
        let Some(gathering) = self.partitions.get_mut(&partition) else {
            return;
        };
        if !gathering.range.contains(&offset) {
            return;
        }
        let kind = Kind {
            reason: place_of(reason, &mut self.reasons),
            replay_count,
            value_omitted,
        };
        gathering.single.push(Run {
            first: offset,
            last: offset,
            kind,
        });
        if gathering.single.len() >= GATHERED {
            gathering.make_runs();
        }
    }

    #[must_use]
    pub fn finish(mut self) -> DeadLetterIndex {
        for gathering in self.partitions.values_mut() {
            gathering.make_runs();
        }
        DeadLetterIndex {
            partitions: self
                .partitions
                .into_iter()
                .map(|(partition, gathering)| (partition, gathering.runs))
                .collect(),
            reasons: self.reasons,
        }
    }
}

impl DeadLetterIndex {
    /// `None` if the dead letter topic doesn't have it.
    #[must_use]
    pub fn find(&self, partition: Partition, offset: Offset) -> Option<Indexed<'_>> {
        let runs = self.partitions.get(&partition)?;
        let after = runs.partition_point(|run| run.first <= offset);
        let run = runs[..after].last().filter(|run| offset <= run.last)?;
        Some(Indexed {
            reason: &self.reasons[usize::from(run.kind.reason)],
            value_omitted: run.kind.value_omitted,
        })
    }
}

/// There are a few reasons; a topic full of foreign headers is not to fill the memory.
fn place_of(reason: &str, reasons: &mut Vec<String>) -> u16 {
    const OTHERS: &str = "(other)";
    let place = reasons.iter().position(|known| known == reason);
    let place = place.unwrap_or_else(|| {
        let is_full = reasons.len() >= 255;
        let name = if is_full { OTHERS } else { reason };
        let place = reasons.iter().position(|known| known == name);
        place.unwrap_or_else(|| {
            reasons.push(name.to_owned());
            reasons.len() - 1
        })
    });
    u16::try_from(place).unwrap_or(u16::MAX)
}

impl Gathering {
    fn make_runs(&mut self) {
        self.single.sort_unstable_by_key(|run| run.first);
        let old = std::mem::take(&mut self.runs);
        let mut merged = Vec::with_capacity(old.len());
        let mut single = self.single.drain(..).peekable();
        for mut run in old {
            // What comes before the run, or within it, and so splits it if it is of another kind.
            while let Some(one) = single.next_if(|one| one.first <= run.last) {
                if one.first < run.first {
                    append(&mut merged, one);
                    continue;
                }
                let both = one.kind.and(run.kind);
                if both == run.kind {
                    continue;
                }
                if run.first < one.first {
                    let before = Run {
                        last: Offset(one.first.0 - 1),
                        ..run
                    };
                    append(&mut merged, before);
                }
                // There may be more of this offset: the rest of the run begins with it.
                let split = Run { kind: both, ..one };
                if one.first == run.last {
                    run = split;
                } else {
                    append(&mut merged, split);
                    run.first = one.first.next();
                }
            }
            append(&mut merged, run);
        }
        for one in single {
            append(&mut merged, one);
        }
        merged.shrink_to_fit();
        self.runs = merged;
    }
}

/// Appends a run that begins at or after the last one's last offset.
fn append(runs: &mut Vec<Run>, run: Run) {
    let Some(last) = runs.last_mut() else {
        return runs.push(run);
    };
    if last.last < run.first {
        if last.kind == run.kind && last.last.next() == run.first {
            last.last = run.last;
        } else {
            runs.push(run);
        }
        return;
    }
    // A single dead letter of the offset that the last run ends with.
    let both = last.kind.and(run.kind);
    if both == last.kind {
        return;
    }
    if last.first < last.last {
        last.last = Offset(last.last.0 - 1);
        runs.push(Run { kind: both, ..run });
    } else {
        last.kind = both;
    }
}

impl Kind {
    /// Of two dead letters of one record, whichever came first.
    fn and(self, other: Self) -> Self {
        let last = [self, other]
            .into_iter()
            .max_by_key(|kind| (kind.replay_count, kind.reason))
            .unwrap_or(self);
        Self {
            value_omitted: self.value_omitted && other.value_omitted,
            ..last
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const PARTITION: Partition = Partition(0);

    #[test]
    fn only_what_is_in_the_ranges_is_kept() {
        let mut builder = IndexBuilder::new([(PARTITION, Offset(10)..Offset(20))]);
        for offset in [9, 10, 19, 20] {
            builder.insert(PARTITION, Offset(offset), "invalid_json", 0, false);
        }
        builder.insert(Partition(1), Offset(10), "invalid_json", 0, false);
        let index = builder.finish();
        let found = |partition, offset| index.find(partition, Offset(offset)).is_some();
        assert!(found(PARTITION, 10) && found(PARTITION, 19));
        assert!(!found(PARTITION, 9) && !found(PARTITION, 20) && !found(Partition(1), 10));
    }

    #[test]
    fn an_outage_is_one_run() {
        let mut builder = IndexBuilder::new([(PARTITION, Offset(0)..Offset(1_000_000))]);
        for offset in (0..1_000_000).rev() {
            builder.insert(PARTITION, Offset(offset), "mongodb_unavailable", 0, false);
        }
        assert_eq!(builder.finish().partitions[&PARTITION].len(), 1);
    }

    proptest! {
        #[test]
        fn an_index_finds_what_a_map_finds(
            letters in prop::collection::vec((0_i64..40, 0_usize..3, 0_u32..3, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut builder = IndexBuilder::new([(PARTITION, Offset(0)..Offset(40))]);
            let mut model: HashMap<i64, Kind> = HashMap::new();
            for (offset, reason, replay_count, value_omitted, makes_runs) in letters {
                let name = ["a", "b", "c"][reason];
                builder.insert(PARTITION, Offset(offset), name, replay_count, value_omitted);
                let kind = Kind {
                    reason: place_of(name, &mut builder.reasons),
                    replay_count,
                    value_omitted,
                };
                model
                    .entry(offset)
                    .and_modify(|known| *known = known.and(kind))
                    .or_insert(kind);
                if makes_runs {
                    builder.partitions.get_mut(&PARTITION).unwrap().make_runs();
                }
            }
            let index = builder.finish();
            for offset in 0..40 {
                let expected = model.get(&offset).map(|kind| Indexed {
                    reason: &index.reasons[usize::from(kind.reason)],
                    value_omitted: kind.value_omitted,
                });
                prop_assert_eq!(index.find(PARTITION, Offset(offset)), expected);
            }
        }
    }
}
