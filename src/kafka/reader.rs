//! Reading a topic from here to there, outside of any group: no membership, partitions assigned by
//! hand, and no commit but those that a caller asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::consumer::Taken;
use super::context::forward_log;
use super::settings;
use crate::config::Config;
use crate::core::offsets::Commit;
use crate::core::partition::{Offset, Partition};
use crate::core::start::LogBounds;

/// The longest that one question may take.
const QUESTION: Duration = Duration::from_secs(20);
/// Nothing heard of a partition that isn't read to its end, for so long: the brokers are gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Of each partition, what is to be read.
pub type Ranges = BTreeMap<Partition, Range<Offset>>;

pub struct TopicReader {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    topic: String,
    ends: BTreeMap<Partition, Offset>,
    unread: BTreeSet<Partition>,
    patience: Patience,
}

/// How long nothing has come, and what the client said meanwhile.
#[derive(Default)]
struct Patience {
    waited: Duration,
    trouble: Option<KafkaError>,
}

/// What comes next of the ranges.
pub enum Next<'a> {
    Record(Taken<'a>),
    /// Nothing yet.
    Nothing,
    /// All is read.
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    #[error("can't read `{topic}` to its end: nothing has come for {} s{}",
        SILENCE.as_secs(), .trouble.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Silence {
        topic: String,
        trouble: Option<KafkaError>,
    },
}

impl TopicReader {
    /// A reader of `topic` that may ask for the offsets of `group`, and commit to it; its connections
    /// are made as they are needed.
    ///
    /// # Errors
    /// When librdkafka refuses a property.
    pub fn new(config: &Config, topic: &str, group: &str) -> KafkaResult<Self> {
        let consumer = settings::reader(config, group).create_with_context(ReaderContext)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            topic: topic.to_owned(),
            ends: BTreeMap::new(),
            unread: BTreeSet::new(),
            patience: Patience::default(),
        })
    }

    /// What each partition holds now; `None` where there is no such topic.
    ///
    /// # Errors
    /// When the brokers don't answer.
    pub fn bounds(&self) -> KafkaResult<Option<BTreeMap<Partition, LogBounds>>> {
        let Some(partitions) = self.partitions()? else {
            return Ok(None);
        };
        // For this request librdkafka takes the two special offsets as the log's ends.
        let earliest = self.offsets_for(&partitions, KafkaOffset::Beginning)?;
        let latest = self.offsets_for(&partitions, KafkaOffset::End)?;
        let bounds = partitions.into_iter().map(|partition| {
            let missing = || KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset);
            let earliest = *earliest.get(&partition).ok_or_else(missing)?;
            let latest = *latest.get(&partition).ok_or_else(missing)?;
            Ok((partition, LogBounds { earliest, latest }))
        });
        bounds.collect::<KafkaResult<_>>().map(Some)
    }

    fn partitions(&self) -> KafkaResult<Option<Vec<Partition>>> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), QUESTION)?;
        let mut topics = metadata.topics().iter();
        let Some(topic) = topics.find(|topic| topic.name() == self.topic) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Ok(None)
            }
            Some(code) => Err(KafkaError::MetadataFetch(code)),
            None => {
                let partitions = topic.partitions().iter().map(|p| Partition(p.id()));
                Ok(Some(partitions.collect::<Vec<_>>()).filter(|found| !found.is_empty()))
            }
        }
    }

    /// The first offset of each partition whose record is of `millis` (since 1970) or later; a partition
    /// without such a record is left out.
    ///
    /// # Errors
    /// When the brokers don't answer.
    pub fn offsets_at(
        &self,
        partitions: &[Partition],
        millis: i64,
    ) -> KafkaResult<BTreeMap<Partition, Offset>> {
        // Below 0 are the special offsets.
        self.offsets_for(partitions, KafkaOffset::Offset(millis.max(0)))
    }

    fn offsets_for(
        &self,
        partitions: &[Partition],
        what: KafkaOffset,
    ) -> KafkaResult<BTreeMap<Partition, Offset>> {
        let list = self.list(partitions.iter().map(|&partition| (partition, what)))?;
        found(&self.consumer.offsets_for_times(list, QUESTION)?)
    }

    /// What the group has committed; partitions without are left out.
    ///
    /// # Errors
    /// When the group's broker doesn't answer.
    pub fn committed(&self, partitions: &[Partition]) -> KafkaResult<BTreeMap<Partition, Offset>> {
        let nothing_yet = partitions.iter().map(|&p| (p, KafkaOffset::Invalid));
        let list = self.list(nothing_yet)?;
        found(&self.consumer.committed_offsets(list, QUESTION)?)
    }

    /// Begins to read these ranges.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn read(&mut self, ranges: &Ranges) -> KafkaResult<()> {
        let ranges = ranges.iter().filter(|(_, range)| !range.is_empty());
        self.ends = ranges.clone().map(|(&p, range)| (p, range.end)).collect();
        self.unread = self.ends.keys().copied().collect();
        let list = self.list(ranges.map(|(&p, range)| (p, KafkaOffset::Offset(range.start.0))))?;
        self.consumer.assign(&list)
    }

    /// The next record of the ranges; waits up to `timeout`. The records of a partition come in the
    /// order of their offsets.
    ///
    /// # Errors
    /// When the brokers stay silent, or refuse.
    pub fn next(&mut self, timeout: Duration) -> Result<Next<'_>, ReadError> {
        let until = Instant::now() + timeout;
        while !self.unread.is_empty() {
            let started = Instant::now();
            let polled = self.consumer.poll(until.saturating_duration_since(started));
            match polled {
                Some(Ok(message)) => {
                    self.patience = Patience::default();
                    let taken = Taken::new(message);
                    let Some(&end) = self.ends.get(&taken.partition()) else {
                        continue;
                    };
                    if taken.offset().next() >= end {
                        let was_unread = self.unread.remove(&taken.partition());
                        self.consumer.pause(&one(&self.topic, taken.partition()))?;
                        if !was_unread {
                            continue;
                        }
                    }
                    if taken.offset() < end {
                        return Ok(Next::Record(taken));
                    }
                }
                // Whatever is left of the range was never a record, or is none any more.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.patience = Patience::default();
                    self.unread.remove(&Partition(partition));
                }
                Some(Err(error)) if is_final(&error) => return Err(error.into()),
                Some(Err(error)) => {
                    self.patience.trouble = Some(error);
                    self.patience.wear(started, &self.topic)?;
                }
                None => {
                    self.patience.wear(started, &self.topic)?;
                    if Instant::now() >= until {
                        return Ok(Next::Nothing);
                    }
                }
            }
        }
        Ok(Next::End)
    }

    /// What commits to the reader's group, on whatever thread.
    #[must_use]
    pub fn group(&self) -> ReaderGroup {
        ReaderGroup {
            consumer: Arc::clone(&self.consumer),
            topic: self.topic.clone(),
        }
    }

    fn list(
        &self,
        partitions: impl Iterator<Item = (Partition, KafkaOffset)>,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            list.add_partition_offset(&self.topic, partition.0, offset)?;
        }
        Ok(list)
    }
}

impl Patience {
    /// Nothing has come since `started`.
    fn wear(&mut self, started: Instant, topic: &str) -> Result<(), ReadError> {
        self.waited += started.elapsed();
        if self.waited < SILENCE {
            return Ok(());
        }
        Err(ReadError::Silence {
            topic: topic.to_owned(),
            trouble: self.trouble.take(),
        })
    }
}

/// Commits for a [`TopicReader`].
pub struct ReaderGroup {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    topic: String,
}

impl ReaderGroup {
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

fn one(topic: &str, partition: Partition) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition.0);
    list
}

/// The partitions that have an offset.
fn found(list: &TopicPartitionList) -> KafkaResult<BTreeMap<Partition, Offset>> {
    let mut offsets = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let KafkaOffset::Offset(offset) = element.offset() {
            offsets.insert(Partition(element.partition()), Offset(offset));
        }
    }
    Ok(offsets)
}

/// Whether no patience helps.
fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::Authentication
            )
        )
}

struct ReaderContext;

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!("reader: {error}: {reason}");
    }
}

impl ConsumerContext for ReaderContext {}
