//! Reads a range of a topic outside of any group: without membership, with partitions assigned by hand, and
//! without a commit but those that the caller asks for.

use std::collections::BTreeMap;
use std::error::Error;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::debug;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, KafkaResult as ClientResult, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::errors::{
    KafkaError, connection_advice, is_about_a_connection, is_unknown_topic, is_without_answer,
    without_secrets,
};
use super::log::forward_log;
use super::message::ConsumedMessage;
use super::queries::Queries;
use super::reader_error::{ReadError, missing};
use super::topic::Topic;
use super::unread::Unread;
use super::{iam, settings};
use crate::config::Config;
use crate::core::partition::{Offset, TopicPartition};

/// A question without an answer is given up after this long, at the end of a turn.
const QUESTION: Duration = Duration::from_secs(20);
/// A question is asked again and again. One attempt is called a turn. Between two turns the reader polls, because only
/// a poll reports that the client is refused. This is the time limit of the first turn. Each further limit is twice as
/// long, for a broker that answers slowly.
const FIRST_TURN: Duration = Duration::from_secs(1);
/// How long the poll between two turns waits.
const LISTEN: Duration = Duration::from_millis(50);
/// If no record comes for this long although the ranges aren't read to their ends, reading fails.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// What is to be read of each partition.
pub type Ranges = BTreeMap<TopicPartition, Range<Offset>>;

pub struct TopicReader {
    consumer: Arc<BaseConsumer<ReaderContext>>,
    /// Whether it logs in with tokens that [`iam`] makes.
    signs_tokens: bool,
    topic: Topic,
    group: String,
    unread: Unread,
    silence: Silence,
}

/// For how long no record has come, and the last error in that time.
#[derive(Default)]
struct Silence {
    waited: Duration,
    last_error: Option<KafkaError>,
}

/// What [`TopicReader::next`] finds in the ranges.
pub enum Next<'a> {
    Record(ConsumedMessage<'a>),
    /// No record came before the timeout.
    Nothing,
    /// Everything is read.
    End,
}

/// The errors of a poll that don't end the reading.
enum PollError {
    /// A broker has nothing more in this partition. Everything that it has below this offset was read.
    EndMet(TopicPartition, Offset),
    Transient(KafkaError),
}

impl TopicReader {
    /// A reader of `topic` that can ask for the offsets of `group` and commit in its name. It connects when
    /// it is first used. Fails when the client can't use a property.
    pub fn new(config: &Config, topic: Topic, group: &str) -> Result<Self, ReadError> {
        let settings = settings::reader(config, group);
        let consumer = settings
            .create_with_context(ReaderContext::default())
            .map_err(|error| ReadError::Settings(error.into()))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            signs_tokens: iam::is_used(&settings),
            topic,
            group: group.to_owned(),
            unread: Unread::default(),
            silence: Silence::default(),
        })
    }

    /// Begins to read these ranges.
    pub fn read(&mut self, ranges: &Ranges) -> Result<(), ReadError> {
        self.serve_token();
        self.unread = Unread::new(ranges.clone());
        let mut list = TopicPartitionList::new();
        for (partition, range) in ranges.iter().filter(|(_, range)| !range.is_empty()) {
            let start = KafkaOffset::Offset(range.start.0);
            list.add_partition_offset(&self.topic.name, partition.number, start)
                .map_err(|error| self.failed(error))?;
        }
        let assigned = self.consumer.assign(&list);
        assigned.map_err(|error| self.failed(error))
    }

    /// The next record of the ranges. Waits up to `timeout`. The records of a partition come in the order of
    /// their offsets, each once. Fails when the brokers stay silent, or refuse.
    pub fn next(&mut self, timeout: Duration) -> Result<Next<'_>, ReadError> {
        let until = Instant::now() + timeout;
        while !self.unread.is_empty() {
            let started = Instant::now();
            let polled = self.consumer.poll(until.saturating_duration_since(started));
            match polled {
                Some(Ok(borrowed)) => {
                    self.silence = Silence::default();
                    let message = ConsumedMessage::new(borrowed, &self.topic);
                    let partition = message.partition();
                    let is_in_range = self.unread.read(partition, message.offset());
                    if self.unread.is_finished(partition) {
                        self.pause(partition)?;
                    }
                    if is_in_range {
                        return Ok(Next::Record(message));
                    }
                }
                Some(Err(error)) => {
                    let reason = self.consumer.context().take_reason();
                    self.silence.add(started, &self.topic.name)?;
                    match self.judge(error, reason)? {
                        PollError::EndMet(partition, at) => self.unread.end_met(partition, at),
                        PollError::Transient(error) => self.silence.last_error = Some(error),
                    }
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

    /// The caller needs no more of this partition, although its range isn't read to the end.
    pub fn finish(&mut self, partition: TopicPartition) -> Result<(), ReadError> {
        self.unread.finish(partition);
        self.pause(partition)
    }

    pub(super) fn client(&self) -> &Arc<BaseConsumer<ReaderContext>> {
        &self.consumer
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn group_name(&self) -> &str {
        &self.group
    }

    /// Asks the brokers, until they answer or the time is up.
    pub(super) fn ask<'a, T>(
        &'a self,
        question: impl Fn(&Queries<'a, ReaderContext>) -> ClientResult<T>,
    ) -> Result<T, ReadError> {
        self.serve_token();
        let until = Instant::now() + QUESTION;
        let mut turn = FIRST_TURN;
        let mut reason = None;
        loop {
            let queries = Queries {
                consumer: &self.consumer,
                topic: &self.topic,
                timeout: turn,
            };
            turn *= 2;
            let error = match question(&queries) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !is_without_answer(&error) || self.refusal(&error, None).is_some() {
                return Err(self.failed(error));
            }
            // A client that may not log in, or may not find the group's coordinator, tries again until the time is
            // up. Only a poll returns the reason.
            if let Some(refusal) = self.received_refusal(&mut reason) {
                return Err(refusal);
            }
            if Instant::now() >= until {
                let error = error.into();
                return Err(ReadError::NoAnswer { error, reason });
            }
        }
    }

    /// While partitions are read, the polls do this.
    fn serve_token(&self) {
        if self.signs_tokens && self.unread.is_empty() {
            iam::serve_token(&self.consumer);
        }
    }

    /// The first refusal among the errors that a poll returns. `connection` becomes the reason of the last connection
    /// that failed.
    fn received_refusal(&self, connection: &mut Option<String>) -> Option<ReadError> {
        // While partitions are read, a poll could bring a record.
        if !self.unread.is_empty() {
            return None;
        }
        while let Some(polled) = self.consumer.poll(LISTEN) {
            let reason = self.consumer.context().take_reason();
            let Err(error) = polled else { continue };
            if is_about_a_connection(&error) {
                let with_advice =
                    |reason: &String| format!("{reason}{}", connection_advice(&error, reason));
                *connection = reason.as_ref().map(with_advice);
            }
            let refusal = self.refusal(&error, reason);
            if refusal.is_some() {
                return refusal;
            }
        }
        None
    }

    /// What an error of a poll means. Fails if waiting doesn't help.
    fn judge(&self, error: ClientError, reason: Option<String>) -> Result<PollError, ReadError> {
        if let ClientError::PartitionEOF(partition) = error
            && let Some(at) = reason.as_deref().and_then(end_named_in)
        {
            return Ok(PollError::EndMet(self.topic.partition(partition), at));
        }
        if let Some(refusal) = self.refusal(&error, reason) {
            return Err(refusal);
        }
        if is_final(&error) {
            return Err(ReadError::Kafka(error.into()));
        }
        Ok(PollError::Transient(error.into()))
    }

    fn failed(&self, error: ClientError) -> ReadError {
        let refusal = self.refusal(&error, None);
        refusal.unwrap_or_else(|| ReadError::Kafka(error.into()))
    }

    /// The error as a refusal, if it is one. `reason` is the client's text about the error, if that is known.
    pub(super) fn refusal(&self, error: &ClientError, reason: Option<String>) -> Option<ReadError> {
        let code = error.rdkafka_error_code()?;
        // The next attempt to get a token may succeed.
        if reason.as_deref().is_some_and(iam::is_without_token) {
            return None;
        }
        let is_about_login = matches!(
            code,
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed
        );
        let missing = if self.signs_tokens && is_about_login {
            iam::REFUSED.to_owned()
        } else {
            missing(code, &self.topic.name, &self.group)?
        };
        Some(ReadError::Refused {
            missing,
            reason: reason.unwrap_or_else(|| error.to_string()),
        })
    }

    fn pause(&self, partition: TopicPartition) -> Result<(), ReadError> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic.name, partition.number);
        let paused = self.consumer.pause(&list);
        paused.map_err(|error| self.failed(error))
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
            waited: LONGEST_SILENCE,
            last_error: self.last_error.take(),
        })
    }
}

/// Whether the error lasts, so that waiting doesn't help.
fn is_final(error: &ClientError) -> bool {
    matches!(error, ClientError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code().is_some_and(|code| {
            is_unknown_topic(code) || code == RDKafkaErrorCode::UnknownPartition
        })
}

/// What the client says besides the errors that a poll returns.
#[derive(Default)]
pub(super) struct ReaderContext {
    /// The text of the last error. The client calls back immediately before the poll returns the error. Behind a
    /// lock, because the client gives only shared references to its context.
    reason: Mutex<Option<String>>,
}

impl ReaderContext {
    fn take_reason(&self) -> Option<String> {
        mem::take(&mut *self.reason.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The offset at which a broker has nothing more. The client gives it only as part of a text. If a later version of the
/// client words it differently, no end is found, and reading fails after a long silence instead of ending too early.
fn end_named_in(reason: &str) -> Option<Offset> {
    let (_, behind) = reason.split_once("reached end of partition at offset ")?;
    let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Offset)
}

impl ClientContext for ReaderContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        let reason = without_secrets(reason);
        debug!("reader: {error}: {reason}");
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        iam::token(config)
    }
}

impl ConsumerContext for ReaderContext {}

#[cfg(test)]
mod tests;
