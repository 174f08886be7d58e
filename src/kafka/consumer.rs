//! The consumer: polling, pausing, committing. Only the poller polls; only the commit thread commits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, Timestamp as KafkaTimestamp};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::context::{GroupContext, GroupEvents};
use super::{headers, settings};
use crate::config::{AutoOffsetReset, Config};
use crate::core::assignment::Assignment;
use crate::core::dead_letter::DeadLetterHeaders;
use crate::core::offsets::Commit;
use crate::core::partition::{Offset, Partition};
use crate::core::record::{OpaqueHeaders, Timestamp};
use crate::core::start::FirstStart;

/// How long an assignment may take to find out where to begin.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

pub struct KafkaConsumer {
    consumer: BaseConsumer<GroupContext>,
    topic: String,
}

/// What one poll brought.
pub enum Polled<'a> {
    Record(Taken<'a>),
    Nothing,
    Trouble(Trouble),
}

/// What a poll says is wrong.
#[derive(Debug)]
pub enum Trouble {
    /// The client can't go on; only a new process helps.
    Fatal(KafkaError),
    /// No broker can be reached at present.
    BrokersDown,
    TopicMissing,
    /// librdkafka deals with it.
    Passing(KafkaError),
}

/// Whether the topic can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    Missing,
    Partitions(usize),
}

/// A message in librdkafka's memory.
pub struct Taken<'a>(BorrowedMessage<'a>);

impl KafkaConsumer {
    /// A consumer of the configured topic that has not subscribed yet.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(
        config: &Config,
        assignment: Arc<Assignment>,
        events: Arc<dyn GroupEvents>,
    ) -> KafkaResult<Self> {
        let context = GroupContext {
            topic: config.kafka.topic.clone(),
            first_start: match config.kafka.auto_offset_reset {
                AutoOffsetReset::Earliest => FirstStart::Earliest,
                AutoOffsetReset::Latest => FirstStart::Latest,
            },
            patience: (config.kafka.max_poll_interval / 4).min(LONGEST_PATIENCE),
            assignment,
            events,
            paused: AtomicBool::new(false),
            offset_was_reset: AtomicBool::new(false),
        };
        let consumer = settings::consumer(config).create_with_context(context)?;
        Ok(Self {
            consumer,
            topic: config.kafka.topic.clone(),
        })
    }

    /// Asks the brokers for the topic: whether they can be reached, and whether it is there.
    ///
    /// # Errors
    /// When no broker answers within `timeout`, or one refuses.
    pub fn topic_state(&self, timeout: Duration) -> KafkaResult<TopicState> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), timeout)?;
        let Some(topic) = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic)
        else {
            return Ok(TopicState::Missing);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(TopicState::Missing)
            }
            Some(code) => Err(KafkaError::MetadataFetch(code)),
            None if topic.partitions().is_empty() => Ok(TopicState::Missing),
            None => Ok(TopicState::Partitions(topic.partitions().len())),
        }
    }

    /// # Errors
    /// When librdkafka refuses the subscription.
    pub fn subscribe(&self) -> KafkaResult<()> {
        self.consumer.subscribe(&[&self.topic])
    }

    /// Begins to close: keep polling until [`KafkaConsumer::is_closed`], since the revoke comes by that. A
    /// static member doesn't leave the group by this, where unsubscribing would make it.
    ///
    /// # Errors
    /// When the client is broken; nothing comes by polling then.
    pub fn close(&self) -> KafkaResult<()> {
        self.consumer.close_queue()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.consumer.closed()
    }

    /// Lets librdkafka say what it has to say, such as why a connection failed. For a consumer that has
    /// not subscribed: nothing else can come then.
    pub fn serve_log(&self) {
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    /// Takes the next record, or serves the group; waits up to `timeout` (and 10 s for each question
    /// that a rebalance asks).
    #[must_use]
    pub fn poll(&self, timeout: Duration) -> Polled<'_> {
        match self.consumer.poll(timeout) {
            None => Polled::Nothing,
            Some(Ok(message)) => Polled::Record(Taken(message)),
            Some(Err(error)) => Polled::Trouble(Trouble::of(error)),
        }
    }

    /// Pauses all that is assigned, and whatever comes to be assigned, until [`KafkaConsumer::resume`].
    /// No record is delivered after this; what was prefetched is fetched again.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn pause(&self) -> KafkaResult<()> {
        let assignment = self.consumer.assignment()?;
        if assignment.count() > 0 {
            self.consumer.pause(&assignment)?;
        }
        let paused = &self.consumer.context().paused;
        paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// # Errors
    /// When librdkafka refuses.
    pub fn resume(&self) -> KafkaResult<()> {
        self.consumer
            .context()
            .paused
            .store(false, Ordering::Relaxed);
        let assignment = self.consumer.assignment()?;
        if assignment.count() == 0 {
            Ok(())
        } else {
            self.consumer.resume(&assignment)
        }
    }

    /// Where the poll stands in each partition from which it has handed over anything: markers of
    /// transactions move it without a record.
    #[must_use]
    pub fn positions(&self) -> Vec<(Partition, Offset)> {
        let Ok(positions) = self.consumer.position() else {
            return Vec::new();
        };
        positions
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                KafkaOffset::Offset(offset) => {
                    Some((Partition(element.partition()), Offset(offset)))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether librdkafka said, since the last call, that an offset was out of the log's range.
    #[must_use]
    pub fn take_offset_reset(&self) -> bool {
        let was_reset = &self.consumer.context().offset_was_reset;
        // A swap costs more than a look, and this is asked for every record.
        was_reset.load(Ordering::Relaxed) && was_reset.swap(false, Ordering::Relaxed)
    }

    /// The earliest offset that is left. Takes half a second beside a running fetch.
    ///
    /// # Errors
    /// When the partition's broker doesn't answer within `timeout`.
    pub fn earliest(&self, partition: Partition, timeout: Duration) -> KafkaResult<Offset> {
        let (low, _) = self
            .consumer
            .fetch_watermarks(&self.topic, partition.0, timeout)?;
        Ok(Offset(low))
    }

    /// Commits and waits for the answer: without any bound where a broker hangs.
    ///
    /// # Errors
    /// The broker's answer, or that there is none.
    pub fn commit(&self, commits: &[Commit]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let offset = KafkaOffset::Offset(commit.offset.0);
            list.add_partition_offset(&self.topic, commit.partition.0, offset)?;
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }
}

impl Trouble {
    fn of(error: KafkaError) -> Self {
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Self::Fatal(error);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Self::BrokersDown,
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Self::TopicMissing
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => Self::Fatal(error),
            _ => Self::Passing(error),
        }
    }
}

impl<'a> Taken<'a> {
    pub(super) fn new(message: BorrowedMessage<'a>) -> Self {
        Self(message)
    }

    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition(self.0.partition())
    }

    #[must_use]
    pub fn offset(&self) -> Offset {
        Offset(self.0.offset())
    }

    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        match self.0.timestamp() {
            KafkaTimestamp::NotAvailable => Timestamp::NotAvailable,
            KafkaTimestamp::CreateTime(millis) => Timestamp::CreateTime(millis),
            KafkaTimestamp::LogAppendTime(millis) => Timestamp::LogAppendTime(millis),
        }
    }

    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// A copy that outlives the message.
    #[must_use]
    pub fn headers(&self) -> Option<OpaqueHeaders> {
        self.0
            .headers()
            .map(|headers| OpaqueHeaders::new(headers.detach(), headers::size_of(headers)))
    }

    /// Each header's name and value, in their order; `None` for one whose name isn't UTF-8: the client
    /// lets us neither read its name nor its value.
    pub fn each_header(&self) -> impl Iterator<Item = Option<(&str, Option<&[u8]>)>> {
        self.0.headers().into_iter().flat_map(headers::each)
    }

    /// The record's `dlq.*` headers, if it is a dead letter.
    #[must_use]
    pub fn dead_letter_headers(&self) -> DeadLetterHeaders<'_> {
        DeadLetterHeaders::read(self.each_header().flatten())
    }
}

impl fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConsumer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
