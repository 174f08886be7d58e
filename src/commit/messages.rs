//! The messages to the committer. The dispatcher, the batches and delivery reports, the poller, the rebalance handler
//! and the replay send them.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::core::end_offset::EndOffset;
use crate::core::partition::{Epoch, Offset, TopicPartition};
use crate::core::record::{Timestamp, Weight};
use crate::core::record_run::RecordRun;
use crate::core::rejection::Reason;
use crate::core::time_limits::RevokeDeadlines;
use crate::kafka::AssignedPartition;

/// How many messages may wait in the channel: a few for each batch and dead letter in flight. The committer never
/// waits for another thread, so a full channel only slows the senders down.
const QUEUE: usize = 4096;

/// All messages come through one channel, so that the committer receives them in the order in which they were sent.
pub enum CommitterMessage {
    /// These partitions are ours. Sent before any record of them is dispatched.
    Assigned(Vec<AssignedPartition>),
    /// These records go to a writer. Sent before a writer can have them.
    Dispatched {
        /// Each with the time at which its first record was written to Kafka.
        runs: Vec<(RecordRun, Timestamp)>,
        taken_at: Instant,
    },
    Settled(Settlement),
    /// This process won't settle these records. They stay uncommitted, so Kafka will deliver them again.
    Abandoned {
        runs: Vec<RecordRun>,
        weight: Weight,
    },
    /// Every record below these positions was dispatched.
    PositionsReached(Vec<(TopicPartition, Epoch, Offset)>),
    /// How far each partition can be read at present.
    EndOffsets(Vec<EndOffset>),
    /// These partitions are ours, but their starting offsets aren't known yet. [`CommitterMessage::Assigned`] follows.
    WaitingForStart(Vec<TopicPartition>),
    /// The logs of these partitions were recreated. Nothing that was received of them is committed any more, and the
    /// beginnings of the new logs are committed at once.
    Recreated(Vec<(TopicPartition, Epoch)>),
    Drain(DrainRequest),
    /// These partitions were taken away: nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}

/// Records that were settled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    pub runs: Vec<RecordRun>,
    pub outcome: Outcome,
    pub weight: Weight,
    pub taken_at: Instant,
    /// When each record was written to Kafka, if it is stored now.
    pub written_at: Vec<Timestamp>,
}

/// The ways in which a record is settled. There is no other: a failure settles nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// MongoDB already held the same document.
    AlreadyStored,
    /// Kafka has acknowledged the dead letter.
    DeadLettered(Reason),
    /// A replay published the record to another topic, and Kafka has acknowledged it.
    Published,
}

/// A request to wait until nothing of these partitions is in flight, and then to commit. The partitions are
/// forgotten afterwards.
pub struct DrainRequest {
    pub partitions: Vec<TopicPartition>,
    pub deadlines: RevokeDeadlines,
    pub done: Sender<Drained>,
}

/// The result of a [`DrainRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records that were still in flight: whoever reads the partition next reads them again.
    pub unsettled: usize,
    /// Whether every settled record is committed.
    pub is_committed: bool,
}

/// The sending side of the committer's channel.
#[derive(Clone)]
pub struct CommitterHandle(Sender<CommitterMessage>);

impl CommitterHandle {
    pub fn channel() -> (Self, Receiver<CommitterMessage>) {
        let (sender, receiver) = bounded(QUEUE);
        (Self(sender), receiver)
    }

    /// Waits only while the channel is full.
    pub fn send(&self, message: CommitterMessage) {
        // If the committer has ended, the process is ending too.
        let _ = self.0.send(message);
    }

    /// Asks for a drain. The answer is the only message of the returned channel.
    pub fn drain(
        &self,
        partitions: Vec<TopicPartition>,
        deadlines: RevokeDeadlines,
    ) -> Receiver<Drained> {
        let (done, drained) = bounded(1);
        self.send(CommitterMessage::Drain(DrainRequest {
            partitions,
            deadlines,
            done,
        }));
        drained
    }
}
