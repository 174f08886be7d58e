//! Reads a range of a topic outside of any group: without membership, with partitions assigned by hand, and
//! without a commit but those that the caller asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::errors::{KafkaError, KafkaResult, is_authorization, is_unknown_topic};
use super::log::forward_log;
use super::message::ConsumedMessage;
use super::queries::Queries;
use super::settings;
use super::topic::Topic;
use crate::config::Config;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::starting_offset::LogBounds;

/// The longest wait for one answer.
const QUESTION: Duration = Duration::from_secs(20);
/// If nothing comes for so long from a partition that isn't read to its end, the brokers are gone.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// What is to be read of each partition.
pub type Ranges = BTreeMap<TopicPartition, Range<Offset>>;

pub struct TopicReader {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    topic: Topic,
    ends: BTreeMap<TopicPartition, Offset>,
    unread: BTreeSet<TopicPartition>,
    silence: Silence,
}

/// How long nothing has come, and the last error meanwhile.
#[derive(Default)]
struct Silence {
    waited: Duration,
    last_error: Option<KafkaError>,
}

/// What comes next of the ranges.
pub enum Next<'a> {
    Record(ConsumedMessage<'a>),
    /// Nothing yet.
    Nothing,
    /// Everything is read.
    End,
}

#[derive(Debug)]
pub enum ReadError {
    Kafka(KafkaError),
    Silence {
        topic: String,
        last_error: Option<KafkaError>,
    },
}

impl TopicReader {
    /// A reader of `topic` that can ask for the offsets of `group` and commit in its name. It connects when
    /// it is first used. Fails when librdkafka refuses a property.
    pub fn new(config: &Config, topic: Topic, group: &str) -> KafkaResult<Self> {
        let consumer = settings::reader(config, group).create_with_context(ReaderContext)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            topic,
            ends: BTreeMap::new(),
            unread: BTreeSet::new(),
            silence: Silence::default(),
        })
    }

    /// What each partition holds now. `None` if there is no such topic.
    pub fn bounds(&self) -> KafkaResult<Option<BTreeMap<TopicPartition, LogBounds>>> {
        let queries = self.queries();
        let Some(partitions) = queries.partitions()? else {
            return Ok(None);
        };
        Ok(Some(queries.bounds(&partitions)?))
    }

    /// The first offset of each partition whose record is of `millis` (since 1970) or later. A partition
    /// without such a record is left out.
    pub fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        millis: i64,
    ) -> KafkaResult<BTreeMap<TopicPartition, Offset>> {
        // Negative numbers are the special offsets.
        let time = KafkaOffset::Offset(millis.max(0));
        Ok(self.queries().offsets_for(partitions, time)?)
    }

    /// What the group has committed. Partitions without a commit are left out.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> KafkaResult<BTreeMap<TopicPartition, Offset>> {
        Ok(self.queries().committed(partitions)?)
    }

    /// Begins to read these ranges.
    pub fn read(&mut self, ranges: &Ranges) -> KafkaResult<()> {
        let ranges = ranges.iter().filter(|(_, range)| !range.is_empty());
        self.ends = ranges.clone().map(|(&p, range)| (p, range.end)).collect();
        self.unread = self.ends.keys().copied().collect();
        let mut list = TopicPartitionList::new();
        for (partition, range) in ranges {
            let start = KafkaOffset::Offset(range.start.0);
            list.add_partition_offset(&self.topic.name, partition.number, start)?;
        }
        Ok(self.consumer.assign(&list)?)
    }

    /// The next record of the ranges. Waits up to `timeout`. The records of a partition come in the order of
    /// their offsets. Fails when the brokers stay silent, or refuse.
    pub fn next(&mut self, timeout: Duration) -> Result<Next<'_>, ReadError> {
        let until = Instant::now() + timeout;
        while !self.unread.is_empty() {
            let started = Instant::now();
            let polled = self.consumer.poll(until.saturating_duration_since(started));
            match polled {
                Some(Ok(borrowed)) => {
                    self.silence = Silence::default();
                    let message = ConsumedMessage::new(borrowed, &self.topic);
                    let Some(&end) = self.ends.get(&message.partition()) else {
                        continue;
                    };
                    if message.offset().next() >= end {
                        let was_unread = self.unread.remove(&message.partition());
                        self.pause(message.partition())?;
                        if !was_unread {
                            continue;
                        }
                    }
                    if message.offset() < end {
                        return Ok(Next::Record(message));
                    }
                }
                // The rest of the range holds no record, or none any more.
                Some(Err(ClientError::PartitionEOF(partition))) => {
                    self.silence = Silence::default();
                    self.unread.remove(&self.topic.partition(partition));
                }
                Some(Err(error)) if is_final(&error) => return Err(ReadError::Kafka(error.into())),
                Some(Err(error)) => {
                    self.silence.last_error = Some(error.into());
                    self.silence.add(started, &self.topic.name)?;
                }
                None => {
                    self.silence.add(started, &self.topic.name)?;
                    if Instant::now() >= until {
                        return Ok(Next::Nothing);
                    }
                }
            }
        }
        Ok(Next::End)
    }

    pub(super) fn client(&self) -> &Arc<BaseConsumer<ReaderContext>> {
        &self.consumer
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    fn queries(&self) -> Queries<'_, ReaderContext> {
        Queries {
            consumer: &self.consumer,
            topic: &self.topic,
            timeout: QUESTION,
        }
    }

    fn pause(&self, partition: TopicPartition) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic.name, partition.number);
        Ok(self.consumer.pause(&list)?)
    }
}

impl Silence {
    /// Nothing has come since `started`. Fails once the silence has lasted too long.
    fn add(&mut self, started: Instant, topic: &str) -> Result<(), ReadError> {
        self.waited += started.elapsed();
        if self.waited < LONGEST_SILENCE {
            return Ok(());
        }
        Err(ReadError::Silence {
            topic: topic.to_owned(),
            last_error: self.last_error.take(),
        })
    }
}

impl From<KafkaError> for ReadError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka(error) => error.fmt(f),
            Self::Silence { topic, last_error } => {
                let seconds = LONGEST_SILENCE.as_secs();
                write!(
                    f,
                    "can't read `{topic}` to its end: nothing has come for {seconds} s"
                )?;
                match last_error {
                    Some(error) => write!(f, ": {error}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for ReadError {}

/// Whether waiting doesn't help.
fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::MessageConsumptionFatal(_))
        || is_authorization(error)
        || error.rdkafka_error_code().is_some_and(|code| {
            is_unknown_topic(code)
                || matches!(
                    code,
                    RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::Authentication
                )
        })
}

pub(super) struct ReaderContext;

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        debug!("reader: {error}: {reason}");
    }
}

impl ConsumerContext for ReaderContext {}
