//! Partitions that begin only after they were assigned: those without a leader, and those of a topic that was deleted and
//! recreated.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, error, warn};

use super::positions::Positions;
use crate::commit::{CommitterHandle, CommitterMessage};
use crate::core::partition::{Epoch, TopicPartition};
use crate::kafka::{Assignment, KafkaConsumer, Recreation};
use crate::observe::log::RateLimited;

/// How often the poller asks where the waiting partitions begin.
const SEARCH_INTERVAL: Duration = Duration::from_secs(2);
/// How long it waits for each answer.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

const NO_START: &str = "the starting offsets of some partitions aren't known yet, asking again";

pub struct TopicStarts {
    committer: CommitterHandle,
    assignment: Arc<Assignment>,
    topic: String,
    /// The partitions of the old topic, while what was read of them is being settled.
    old_topic: Vec<(TopicPartition, Epoch)>,
    next_search: Instant,
    warnings: RateLimited,
}

impl TopicStarts {
    pub fn new(
        committer: CommitterHandle,
        assignment: Arc<Assignment>,
        topic: String,
        now: Instant,
    ) -> Self {
        Self {
            committer,
            assignment,
            topic,
            old_topic: Vec::new(),
            next_search: now,
            warnings: RateLimited::new(Level::Warn, NO_START),
        }
    }

    /// The topic was deleted and recreated. Nothing of the old topic is committed any more, since its offsets would
    /// count for the new one; the beginning of the new one is committed. What was read of the old one is still stored.
    pub fn topic_was_recreated(
        &mut self,
        recreation: Recreation,
        positions: &Positions,
        consumer: &KafkaConsumer,
    ) {
        let partitions = match recreation {
            Recreation::UnderThisWorker(partitions) => {
                let mut ends = consumer.last_ends();
                ends.retain(|partition, _| partitions.contains(partition));
                let unread = positions.unread(&ends);
                error!(topic = self.topic, partitions:? = partitions, unread;
                    "the topic was deleted and recreated: the new one is read from its beginning; what was not read of \
                     the old one is lost");
                partitions
            }
            Recreation::BeforeTheStart(partitions) => {
                error!(topic = self.topic, partitions:? = partitions;
                    "the topic was deleted and recreated, and the committed offsets of these partitions are of the old \
                     one: the new one is read from its beginning");
                partitions
            }
        };
        let epochs: Vec<_> = partitions
            .iter()
            .filter_map(|&partition| {
                let (epoch, _) = self.assignment.current(partition)?;
                Some((partition, epoch))
            })
            .collect();
        self.old_topic.extend(&epochs);
        self.committer.send(CommitterMessage::Recreated(epochs));
        // They stand still until what was read of the old topic is settled.
        let ours = self.assignment.partitions();
        let waiting = partitions.into_iter().filter(|p| ours.contains(p));
        self.committer
            .send(CommitterMessage::WaitingForStart(waiting.collect()));
    }

    fn wait_for_the_beginning(&self, partition: TopicPartition) {
        self.assignment.wait_for_start(partition);
        self.committer
            .send(CommitterMessage::WaitingForStart(vec![partition]));
    }

    pub fn is_settling_the_old_topic(&self) -> bool {
        !self.old_topic.is_empty()
    }

    /// Whether a record of this epoch may be of the new topic, although that isn't read from its beginning yet. Such a
    /// record is dropped, and read again later.
    pub fn waits_for_the_new_topic(&self, partition: TopicPartition, epoch: Epoch) -> bool {
        !self.old_topic.is_empty() && self.old_topic.contains(&(partition, epoch))
    }

    /// What was read of the old topic is settled: the new one is read from its beginning.
    pub fn old_topic_is_settled(&mut self, consumer: &KafkaConsumer) {
        for (partition, epoch) in mem::take(&mut self.old_topic) {
            if self.assignment.is_current(partition, epoch) {
                self.wait_for_the_beginning(partition);
            }
        }
        self.search(consumer);
    }

    /// Now and then, asks where the waiting partitions begin, and begins those for which there is an answer.
    pub fn search_if_due(&mut self, consumer: &KafkaConsumer) {
        if Instant::now() >= self.next_search {
            self.search(consumer);
        }
    }

    fn search(&mut self, consumer: &KafkaConsumer) {
        let began = Instant::now();
        if let Err(error) = consumer.start_waiting_partitions(QUESTION_TIMEOUT)
            && let Some(suppressed) = self.warnings.admit(Instant::now())
        {
            warn!(suppressed; "{NO_START}: {error}");
        }
        // A broker that doesn't answer must not hold up the other partitions.
        self.next_search = Instant::now() + SEARCH_INTERVAL.max(began.elapsed() * 9);
    }
}
