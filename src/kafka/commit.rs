//! The commit call: by a member of the group, and by a reader that is no member.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult as ClientResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::errors::CommitError;
use super::reader::{ReaderContext, TopicReader};
use super::topic::Topic;
use crate::core::commit_text::CommitText;
use crate::core::flood::RejectionCount;
use crate::core::offset_tracker::Commit;
use crate::core::partition::{Offset, TopicPartition};

/// Commits offsets and waits for the broker's answer. The wait has no time limit: it lasts as long as the broker hangs.
pub trait CommitOffsets: Send {
    /// `None` if the consumer is gone, so that nothing can be committed any more.
    fn commit(&self, commits: &[Commit]) -> Option<Result<(), CommitError>>;
}

/// What a commit says of one partition besides its offset.
pub trait CommitNotes: Send + Sync {
    /// What the guard against floods of rejections has counted; `None` if it has counted nothing of this log.
    fn rejections(&self, commit: &Commit) -> Option<RejectionCount>;
}

/// Commits for the consumer of the group.
pub struct GroupOffsets {
    /// Held weakly: the poller has to be the last to hold it.
    consumer: Weak<KafkaConsumer>,
    notes: Arc<dyn CommitNotes>,
}

impl GroupOffsets {
    pub fn new(consumer: &Arc<KafkaConsumer>, notes: Arc<dyn CommitNotes>) -> Self {
        Self {
            consumer: Arc::downgrade(consumer),
            notes,
        }
    }
}

impl CommitOffsets for GroupOffsets {
    fn commit(&self, commits: &[Commit]) -> Option<Result<(), CommitError>> {
        let consumer = self.consumer.upgrade()?;
        let of_all = consumer.commit_text();
        let rejections: BTreeMap<TopicPartition, RejectionCount> = commits
            .iter()
            .filter_map(|commit| Some((commit.partition, self.notes.rejections(commit)?)))
            .collect();
        let text = |partition| {
            let text = CommitText {
                rejections: rejections.get(&partition).copied(),
                ..of_all.clone()
            };
            text.write()
        };
        let result = commit(
            consumer.client(),
            consumer.topic(),
            offsets_of(commits),
            text,
        );
        Some(result.map_err(|error| CommitError::of_member(&consumer.topic().name, error)))
    }
}

/// Commits in the name of a reader's group.
pub struct ReaderOffsets {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    topic: Topic,
}

impl ReaderOffsets {
    pub fn new(reader: &TopicReader) -> Self {
        Self {
            consumer: Arc::clone(reader.client()),
            topic: reader.topic().clone(),
        }
    }
}

impl CommitOffsets for ReaderOffsets {
    fn commit(&self, commits: &[Commit]) -> Option<Result<(), CommitError>> {
        let result = commit(&self.consumer, &self.topic, offsets_of(commits), |_| None);
        Some(result.map_err(|error| CommitError::of_reader(&self.topic.name, error)))
    }
}

fn offsets_of(commits: &[Commit]) -> impl Iterator<Item = (TopicPartition, Offset)> {
    commits
        .iter()
        .map(|commit| (commit.partition, commit.offset))
}

/// Commits each offset with the text of its partition.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &Topic,
    offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    text: impl Fn(TopicPartition) -> Option<String>,
) -> ClientResult<()> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        let mut element = list.add_partition(&topic.name, partition.number);
        element.set_offset(KafkaOffset::Offset(offset.0))?;
        if let Some(text) = text(partition) {
            element.set_metadata(text);
        }
    }
    consumer.commit(&list, CommitMode::Sync)
}
