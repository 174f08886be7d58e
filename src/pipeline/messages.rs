//! Everything that the threads tell each other: the data flow in one file.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::failure::Failure;
use crate::core::offsets::Commit;
use crate::core::partition::{Epoch, Offset, Partition};
use crate::core::rejection::Reason;
use crate::core::run::RecordRun;
use crate::kafka::{Assigned, KafkaError};

/// What the committer hears, from the poller, the writers, the rebalance callback and the delivery
/// reports. One channel, so that a settlement never overtakes the dispatch of its record.
pub enum ToCommitter {
    /// From the rebalance callback, before any record of these is dispatched.
    Assigned(Vec<Assigned>),
    /// From the poller, before a writer can have the batch.
    Dispatched {
        runs: Vec<RecordRun>,
        taken_at: Instant,
    },
    Settled(Settlement),
    /// These won't be settled by this process: they are Kafka's to deliver again.
    Abandoned {
        runs: Vec<RecordRun>,
        weight: Weight,
    },
    /// The poller has handed over everything below these positions.
    Reached(Vec<(Partition, Epoch, Offset)>),
    /// Up to where each partition can be read.
    Readable(Vec<(Partition, Offset)>),
    Revoke(Revoke),
    Lost(Vec<Partition>),
}

/// Records that found their end together.
pub struct Settlement {
    pub runs: Vec<RecordRun>,
    pub outcome: Outcome,
    pub weight: Weight,
    pub taken_at: Instant,
}

/// The ways in which a record is settled. There is no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// MongoDB had it already, the same.
    Replayed,
    /// Kafka has acknowledged the dead letter.
    DeadLettered(Reason),
}

/// What records in flight weigh against the bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    pub messages: usize,
    pub bytes: usize,
}

/// "Drain these": sent by the rebalance callback, which waits for `done`.
pub struct Revoke {
    pub partitions: Vec<Partition>,
    /// Until then records in flight may still be settled.
    pub drain_until: Instant,
    /// Until then the commit may take.
    pub commit_until: Instant,
    pub done: Sender<Drained>,
}

/// What a revoke came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records that were still in flight: the next owner reads them again.
    pub left: usize,
    /// Whether everything settled is committed.
    pub is_committed: bool,
}

/// What the commit thread is asked for, one at a time.
pub struct CommitRequest {
    pub commits: Vec<Commit>,
}

/// What came of it.
pub struct CommitAnswer {
    /// Those that were still ours immediately before the call.
    pub commits: Vec<Commit>,
    pub result: Result<(), KafkaError>,
    pub took: Duration,
}

/// What the supervisor hears.
pub enum Event {
    /// SIGTERM or SIGINT.
    Signal,
    /// A thread has ended, by itself or by a panic.
    Ended {
        thread: String,
        result: Result<(), Failure>,
    },
    /// Something that no thread returns: a callback's failure.
    Failed(Failure),
}
