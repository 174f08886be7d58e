//! The place of a record: its partition, its offset, and the assignment under which it was read.

use std::fmt;

/// A topic that this process reads or writes. Its name is known where the topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(u16);

impl TopicId {
    /// The topic whose messages are stored. Further consumed topics would get numbers of their own.
    pub const CONSUMED: Self = Self(0);
    pub const DEAD_LETTERS: Self = Self(1);
    /// A topic that a replay publishes to.
    pub const REPLAY_TARGET: Self = Self(2);
}

/// A partition of a topic: the key of all bookkeeping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: TopicId,
    pub number: i32,
}

impl TopicPartition {
    pub const fn new(topic: TopicId, number: i32) -> Self {
        Self { topic, number }
    }

    /// A partition of the consumed topic.
    pub const fn consumed(number: i32) -> Self {
        Self::new(TopicId::CONSUMED, number)
    }
}

/// A place in a partition. As a position (committable, committed, starting offset) it is the *next* offset to
/// read: every record below it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset to read after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of offsets from `earlier` (inclusive) to this one (exclusive). 0 if it isn't earlier.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// One assignment of a partition to this process. Each new assignment gets a greater epoch, so that whatever
/// arrives late for an old one can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The identity of a record that was taken off Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordId {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    pub offset: Offset,
}

/// The bare number: log lines list partitions beside the topic's name.
impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
