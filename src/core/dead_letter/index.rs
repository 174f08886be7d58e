//! An index of dead letters: which records of a range of the consumed topic are in the dead letter
//! topic, and why.
//!
//! An outage dead-letters millions of consecutive records for one reason. So the index stores runs of
//! offsets, each of which takes a few bytes. Dead letters are first collected one by one, and merged
//! into runs from time to time.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::core::partition::{Offset, TopicPartition};

/// How many single dead letters of a partition are collected before they are merged into runs.
const MERGE_AFTER: usize = 1 << 18;

/// Builds the index. Dead letters may be added in any order.
#[derive(Debug)]
pub struct DeadLetterIndexBuilder {
    partitions: BTreeMap<TopicPartition, PartitionRuns>,
    reasons: Vec<String>,
}

/// Finds the dead letter of a record.
#[derive(Debug)]
pub struct DeadLetterIndex {
    partitions: BTreeMap<TopicPartition, Vec<Run>>,
    reasons: Vec<String>,
}

/// The dead letter of a record. If a record has several, this describes the one that was replayed most
/// often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedDeadLetter<'a> {
    pub reason: &'a str,
    /// None of the record's dead letters has its value.
    pub value_omitted: bool,
}

/// The dead letters of one partition of the consumed topic.
#[derive(Debug)]
struct PartitionRuns {
    /// Dead letters of other offsets are ignored.
    range: Range<Offset>,
    /// Ascending, without overlaps.
    runs: Vec<Run>,
    /// Runs of one offset each, in any order, not yet merged into `runs`.
    single: Vec<Run>,
}

/// Consecutive offsets, `last` included, whose dead letters have the same properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: Offset,
    last: Offset,
    properties: Properties,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Properties {
    /// The index in the list of reasons.
    reason: u16,
    replay_count: u32,
    value_omitted: bool,
}

impl DeadLetterIndexBuilder {
    /// Indexes only the dead letters of records in these ranges of the consumed topic.
    pub fn new(ranges: impl IntoIterator<Item = (TopicPartition, Range<Offset>)>) -> Self {
        let empty = |range| PartitionRuns {
            range,
            runs: Vec::new(),
            single: Vec::new(),
        };
        Self {
            partitions: ranges
                .into_iter()
                .map(|(partition, range)| (partition, empty(range)))
                .collect(),
            reasons: Vec::new(),
        }
    }

    /// Adds a dead letter of the record at `partition` and `offset` of the consumed topic.
    pub fn insert(
        &mut self,
        partition: TopicPartition,
        offset: Offset,
        reason: &str,
        replay_count: u32,
        value_omitted: bool,
    ) {
        let Some(runs) = self.partitions.get_mut(&partition) else {
            return;
        };
        if !runs.range.contains(&offset) {
            return;
        }
        let properties = Properties {
            reason: reason_index(reason, &mut self.reasons),
            replay_count,
            value_omitted,
        };
        runs.single.push(Run {
            first: offset,
            last: offset,
            properties,
        });
        if runs.single.len() >= MERGE_AFTER {
            runs.merge();
        }
    }

    pub fn finish(mut self) -> DeadLetterIndex {
        for runs in self.partitions.values_mut() {
            runs.merge();
        }
        DeadLetterIndex {
            partitions: self
                .partitions
                .into_iter()
                .map(|(partition, letters)| (partition, letters.runs))
                .collect(),
            reasons: self.reasons,
        }
    }
}

impl DeadLetterIndex {
    /// The dead letter of this record; `None` if the dead letter topic has none.
    pub fn find(&self, partition: TopicPartition, offset: Offset) -> Option<IndexedDeadLetter<'_>> {
        let runs = self.partitions.get(&partition)?;
        let after = runs.partition_point(|run| run.first <= offset);
        let run = runs[..after].last().filter(|run| offset <= run.last)?;
        Some(IndexedDeadLetter {
            reason: &self.reasons[usize::from(run.properties.reason)],
            value_omitted: run.properties.value_omitted,
        })
    }
}

/// The index of `reason` in `reasons`; adds it if it is new. The worker writes only a few reasons. The
/// list is bounded, so that a topic full of other programs' records can't fill the memory.
fn reason_index(reason: &str, reasons: &mut Vec<String>) -> u16 {
    const OTHERS: &str = "(other)";
    let index = reasons.iter().position(|known| known == reason);
    let index = index.unwrap_or_else(|| {
        let is_full = reasons.len() >= 255;
        let name = if is_full { OTHERS } else { reason };
        let index = reasons.iter().position(|known| known == name);
        index.unwrap_or_else(|| {
            reasons.push(name.to_owned());
            reasons.len() - 1
        })
    });
    u16::try_from(index).unwrap_or(u16::MAX)
}

impl PartitionRuns {
    /// Merges `single` into `runs`.
    fn merge(&mut self) {
        self.single.sort_unstable_by_key(|run| run.first);
        let old = std::mem::take(&mut self.runs);
        let mut merged = Vec::with_capacity(old.len());
        let mut single = self.single.drain(..).peekable();
        for mut run in old {
            // Single dead letters before the run are appended. One within the run splits it, if the
            // combined properties differ from the run's.
            while let Some(one) = single.next_if(|one| one.first <= run.last) {
                if one.first < run.first {
                    append(&mut merged, one);
                    continue;
                }
                let both = one.properties.combine(run.properties);
                if both == run.properties {
                    continue;
                }
                if run.first < one.first {
                    let before = Run {
                        last: Offset(one.first.0 - 1),
                        ..run
                    };
                    append(&mut merged, before);
                }
                // The rest of the run begins after this offset. If there is no rest, this offset takes
                // its place, because more dead letters of the same offset may follow.
                let split = Run {
                    properties: both,
                    ..one
                };
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

/// Appends a run, and joins it to the last one if possible. The run must begin at or after the last
/// offset of the last run.
fn append(runs: &mut Vec<Run>, run: Run) {
    let Some(last) = runs.last_mut() else {
        return runs.push(run);
    };
    if last.last < run.first {
        if last.properties == run.properties && last.last.next() == run.first {
            last.last = run.last;
        } else {
            runs.push(run);
        }
        return;
    }
    // `run` is a single dead letter of the offset that the last run ends with.
    let both = last.properties.combine(run.properties);
    if both == last.properties {
        return;
    }
    if last.first < last.last {
        last.last = Offset(last.last.0 - 1);
        runs.push(Run {
            properties: both,
            ..run
        });
    } else {
        last.properties = both;
    }
}

impl Properties {
    /// The properties of two dead letters of one record. Their order doesn't matter.
    fn combine(self, other: Self) -> Self {
        let latest = [self, other]
            .into_iter()
            .max_by_key(|properties| (properties.replay_count, properties.reason))
            .unwrap_or(self);
        Self {
            value_omitted: self.value_omitted && other.value_omitted,
            ..latest
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const PARTITION: TopicPartition = TopicPartition::consumed(0);

    #[test]
    fn only_records_in_the_ranges_are_indexed() {
        let mut builder = DeadLetterIndexBuilder::new([(PARTITION, Offset(10)..Offset(20))]);
        for offset in [9, 10, 19, 20] {
            builder.insert(PARTITION, Offset(offset), "invalid_json", 0, false);
        }
        builder.insert(
            TopicPartition::consumed(1),
            Offset(10),
            "invalid_json",
            0,
            false,
        );
        let index = builder.finish();
        let found = |partition, offset| index.find(partition, Offset(offset)).is_some();
        assert!(found(PARTITION, 10) && found(PARTITION, 19));
        assert!(
            !found(PARTITION, 9)
                && !found(PARTITION, 20)
                && !found(TopicPartition::consumed(1), 10)
        );
    }

    #[test]
    fn consecutive_dead_letters_of_an_outage_become_one_run() {
        let mut builder = DeadLetterIndexBuilder::new([(PARTITION, Offset(0)..Offset(1_000_000))]);
        for offset in (0..1_000_000).rev() {
            builder.insert(PARTITION, Offset(offset), "mongodb_unavailable", 0, false);
        }
        assert_eq!(builder.finish().partitions[&PARTITION].len(), 1);
    }

    proptest! {
        #[test]
        fn the_index_finds_the_same_as_a_map(
            letters in prop::collection::vec((0_i64..40, 0_usize..3, 0_u32..3, any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut builder = DeadLetterIndexBuilder::new([(PARTITION, Offset(0)..Offset(40))]);
            let mut model: HashMap<i64, Properties> = HashMap::new();
            for (offset, reason, replay_count, value_omitted, merges) in letters {
                let name = ["a", "b", "c"][reason];
                builder.insert(PARTITION, Offset(offset), name, replay_count, value_omitted);
                let properties = Properties {
                    reason: reason_index(name, &mut builder.reasons),
                    replay_count,
                    value_omitted,
                };
                model
                    .entry(offset)
                    .and_modify(|known| *known = known.combine(properties))
                    .or_insert(properties);
                if merges {
                    builder.partitions.get_mut(&PARTITION).unwrap().merge();
                }
            }
            let index = builder.finish();
            for offset in 0..40 {
                let expected = model.get(&offset).map(|properties| IndexedDeadLetter {
                    reason: &index.reasons[usize::from(properties.reason)],
                    value_omitted: properties.value_omitted,
                });
                prop_assert_eq!(index.find(PARTITION, Offset(offset)), expected);
            }
        }
    }
}
