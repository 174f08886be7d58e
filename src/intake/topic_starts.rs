//! Partitions that begin only after they were assigned: those without a leader, and all partitions of a topic that was
//! deleted and recreated under the running worker.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, error, warn};

use crate::commit::{CommitterHandle, CommitterMessage};
use crate::core::partition::{Epoch, TopicPartition};
use crate::core::starting_offset::FirstStart;
use crate::kafka::{Assignment, KafkaConsumer};
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
    /// count for the new one. What was read of it is still stored.
    pub fn topic_was_recreated(&mut self) {
        let partitions = self.assignment.partitions();
        error!(topic = self.topic, partitions:? = partitions;
            "the topic was deleted and recreated: the new one is read from its beginning; what was not read of the \
             old one is lost");
        let epochs = partitions.iter().filter_map(|&partition| {
            let (epoch, _) = self.assignment.current(partition)?;
            Some((partition, epoch))
        });
        self.old_topic = epochs.collect();
        self.committer
            .send(CommitterMessage::Lost(partitions.clone()));
        // They stand still until what was read of the old topic is settled.
        self.committer
            .send(CommitterMessage::WaitingForStart(partitions));
        for (partition, _) in self.assignment.waiting_for_start() {
            self.wait_for_the_beginning(partition);
        }
    }

    fn wait_for_the_beginning(&self, partition: TopicPartition) {
        self.assignment
            .wait_for_start(partition, FirstStart::Earliest);
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
