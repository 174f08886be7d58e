//! An index of dead letters: which messages of a range of the consumed topic are in the dead letter topic,
//! and why.
//!
//! A dead letter names the place of its message, and that alone proves nothing: in a topic that was deleted and
//! created again, another message has the same place. So the index keeps a fingerprint of each letter's value and
//! of the message's timestamp, and compares both with the message. The letters of another consumer group are
//! counted and not kept: they say what that group did with the message.
//!
//! A letter takes 16 bytes. A list that grows takes up to three times that for a moment.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Range;

use super::DeadLetterHeaders;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::record::Timestamp;

/// Letters that were replayed more often count as replayed so often. It limits the number of lists, because
/// another program may write any number into the header.
const MOST_REPLAYS: u32 = 255;

/// How many reasons are told apart. The worker writes only a few.
const MOST_REASONS: usize = 255;

/// Builds the index. Dead letters may be added in any order.
#[derive(Debug)]
pub struct DeadLetterIndexBuilder<S> {
    topic: String,
    consumer_group: String,
    index: DeadLetterIndex<S>,
}

/// Finds the dead letter of a message.
#[derive(Debug)]
pub struct DeadLetterIndex<S> {
    partitions: BTreeMap<TopicPartition, PartitionLetters>,
    reasons: Vec<String>,
    other_groups: u64,
    /// Its values are compared with each other, and never leave the index.
    hasher: S,
}

/// What the dead letter topic holds of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterFound<'a> {
    No,
    /// Only dead letters of other messages that had the same place.
    OfAnotherMessage,
    Yes(IndexedDeadLetter<'a>),
}

/// The dead letter of a message. If a message has several, this describes the one that was replayed most
/// often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedDeadLetter<'a> {
    pub reason: &'a str,
    /// None of the message's dead letters has its value.
    pub value_omitted: bool,
}

/// The dead letters of one partition of the consumed topic.
#[derive(Debug)]
struct PartitionLetters {
    /// Dead letters of other offsets are ignored.
    range: Range<Offset>,
    /// By their properties, so that a letter doesn't have to carry them. Each list is ascending once the index
    /// is built.
    lists: BTreeMap<Properties, Vec<Letter>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    /// The message's offset.
    offset: Offset,
    fingerprint: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Properties {
    replay_count: u32,
    /// The index in the list of reasons.
    reason: u16,
    value_omitted: bool,
}

/// What a dead letter can be compared by with a message of the same place.
#[derive(Hash)]
enum Content<'a> {
    Value(Option<&'a [u8]>),
    /// The size of a value that was left out; `None` if the dead letter doesn't say it.
    Size(Option<u64>),
}

impl<S: BuildHasher> DeadLetterIndexBuilder<S> {
    /// Indexes only the dead letters that `consumer_group` wrote about messages in these ranges of `topic`.
    /// `hasher` must be a strong one, so that two messages don't have the same fingerprint by chance or by
    /// intention.
    pub fn new(
        topic: &str,
        consumer_group: &str,
        ranges: impl IntoIterator<Item = (TopicPartition, Range<Offset>)>,
        hasher: S,
    ) -> Self {
        let empty = |range| PartitionLetters {
            range,
            lists: BTreeMap::new(),
        };
        Self {
            topic: topic.to_owned(),
            consumer_group: consumer_group.to_owned(),
            index: DeadLetterIndex {
                partitions: ranges
                    .into_iter()
                    .map(|(partition, range)| (partition, empty(range)))
                    .collect(),
                reasons: Vec::new(),
                other_groups: 0,
                hasher,
            },
        }
    }

    /// Adds a record of the dead letter topic: its headers and its value.
    pub fn insert(&mut self, letter: &DeadLetterHeaders<'_>, value: Option<&[u8]>) {
        let index = &mut self.index;
        let (Some((partition, offset)), Some(reason)) =
            (letter.source_in(&self.topic), letter.reason)
        else {
            return;
        };
        let Some(letters) = index.partitions.get_mut(&partition) else {
            return;
        };
        if !letters.range.contains(&offset) {
            return;
        }
        if letter.consumer_group != Some(&self.consumer_group) {
            index.other_groups += 1;
            return;
        }
        let content = if letter.value_omitted {
            Content::Size(letter.value_size)
        } else {
            Content::Value(value)
        };
        let properties = Properties {
            replay_count: letter.replay_count.min(MOST_REPLAYS),
            reason: reason_index(reason, &mut index.reasons),
            value_omitted: letter.value_omitted,
        };
        letters.lists.entry(properties).or_default().push(Letter {
            offset,
            fingerprint: index.hasher.hash_one((letter.timestamp, content)),
        });
    }

    pub fn finish(mut self) -> DeadLetterIndex<S> {
        let partitions = self.index.partitions.values_mut();
        for list in partitions.flat_map(|letters| letters.lists.values_mut()) {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        self.index
    }
}

impl<S: BuildHasher> DeadLetterIndex<S> {
    /// The dead letter of the message at this place, with this timestamp and this value.
    pub fn find(
        &self,
        partition: TopicPartition,
        offset: Offset,
        timestamp: Timestamp,
        value: Option<&[u8]>,
    ) -> LetterFound<'_> {
        let lists = self.partitions.get(&partition).map(|found| &found.lists);
        let at_place: Vec<(Properties, &[Letter])> = lists
            .into_iter()
            .flatten()
            .map(|(properties, list)| (*properties, letters_at(list, offset)))
            .filter(|(_, letters)| !letters.is_empty())
            .collect();
        if at_place.is_empty() {
            return LetterFound::No;
        }
        let size = value.map_or(0, <[u8]>::len);
        let content = Content::Value(value);
        let with_value = self.hasher.hash_one((timestamp, content));
        let content = Content::Size(u64::try_from(size).ok());
        let without_value = self.hasher.hash_one((timestamp, content));
        let proofs = at_place.into_iter().filter(|(properties, letters)| {
            let expected = if properties.value_omitted {
                without_value
            } else {
                with_value
            };
            letters.iter().any(|letter| letter.fingerprint == expected)
        });
        let properties = proofs.map(|(properties, _)| properties);
        match properties.reduce(Properties::combine) {
            None => LetterFound::OfAnotherMessage,
            Some(properties) => LetterFound::Yes(IndexedDeadLetter {
                reason: &self.reasons[usize::from(properties.reason)],
                value_omitted: properties.value_omitted,
            }),
        }
    }

    /// How many dead letters of messages in the ranges were written by other consumer groups.
    pub fn other_groups(&self) -> u64 {
        self.other_groups
    }
}

/// The letters of a message at this offset, of an ascending list.
fn letters_at(list: &[Letter], offset: Offset) -> &[Letter] {
    let first = list.partition_point(|letter| letter.offset < offset);
    let rest = &list[first..];
    &rest[..rest.partition_point(|letter| letter.offset == offset)]
}

/// The index of `reason` in `reasons`; adds it if it is new. The list is bounded, so that a topic full of other
/// programs' records can't fill the memory.
fn reason_index(reason: &str, reasons: &mut Vec<String>) -> u16 {
    const OTHERS: &str = "(other)";
    let index = reasons.iter().position(|known| known == reason);
    let index = index.unwrap_or_else(|| {
        let is_full = reasons.len() >= MOST_REASONS;
        let name = if is_full { OTHERS } else { reason };
        let index = reasons.iter().position(|known| known == name);
        index.unwrap_or_else(|| {
            reasons.push(name.to_owned());
            reasons.len() - 1
        })
    });
    u16::try_from(index).unwrap_or(u16::MAX)
}

impl Properties {
    /// The properties of two dead letters of one message. Their order doesn't matter.
    fn combine(self, other: Self) -> Self {
        Self {
            value_omitted: self.value_omitted && other.value_omitted,
            ..self.max(other)
        }
    }
}

#[cfg(test)]
mod tests;
