//! The consumer: polling and pausing. Only the poller polls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Offset as KafkaOffset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::assignment::Assignment;
use super::errors::{
    KafkaError, KafkaResult, is_authorization, is_unknown_topic, is_without_answer,
};
use super::first_starts::{FirstStarts, first_start};
use super::log::{LogSigns, Recreation, TopicSigns};
use super::message::ConsumedMessage;
use super::queries::Queries;
use super::rebalance::RebalanceContext;
use super::rebalance_listener::RebalanceListener;
use super::topic::Topic;
use super::topic_ids::TopicIds;
use super::{iam, settings};
use crate::config::Config;
use crate::core::commit_text::CommitText;
use crate::core::end_offset::EndOffset;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::runtime::StopSignal;

/// How many events of librdkafka are served at once while nothing can be consumed.
/// Each attempt to connect brings a few debug lines, and the reason why it failed may wait behind those of ten seconds.
const EVENTS_PER_CALL: usize = 4096;

/// The longest time limit for finding the starting offsets of an assignment.
const LONGEST_SEARCH: Duration = Duration::from_secs(30);

pub struct KafkaConsumer {
    consumer: BaseConsumer<RebalanceContext>,
    topic: Topic,
    uses_new_group_protocol: bool,
    /// Counts the searches for the starts of waiting partitions.
    pub(super) search_turn: AtomicUsize,
}

/// The result of one poll.
pub enum Polled<'a> {
    Message(ConsumedMessage<'a>),
    Nothing,
    Error(PollError),
}

/// What a failed poll means.
#[derive(Debug)]
pub enum PollError {
    /// The client can't continue; only a new process helps.
    Fatal(KafkaError),
    /// No broker can be reached at present.
    BrokersDown,
    TopicMissing,
    /// librdkafka recovers from it by itself.
    Transient(KafkaError),
}

/// Whether the topic can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    Missing,
    /// The topic has this many partitions.
    Available(usize),
}

impl KafkaConsumer {
    /// A consumer of `config.kafka.topic` that has not subscribed yet. Fails when librdkafka refuses a property.
    pub fn new(
        config: &Config,
        topic: TopicId,
        assignment: Arc<Assignment>,
        listener: Arc<dyn RebalanceListener>,
        stop: StopSignal,
    ) -> KafkaResult<Self> {
        let topic = Topic::new(topic, &config.kafka.topic);
        let context = RebalanceContext {
            topic: topic.clone(),
            first_starts: FirstStarts::new(first_start(config)),
            time_limit: (config.kafka.max_poll_interval / 4).min(LONGEST_SEARCH),
            topic_ids: TopicIds::default(),
            assignment,
            listener,
            stop,
            paused: AtomicBool::new(false),
            log_signs: LogSigns::default(),
            ends: Mutex::default(),
            connection_error: Mutex::default(),
        };
        let settings = settings::consumer(config);
        let consumer = settings.create_with_context(context)?;
        if iam::is_used(&settings) {
            iam::serve_token(&consumer);
        }
        Ok(Self {
            consumer,
            topic,
            uses_new_group_protocol: settings::uses_new_group_protocol(config),
            search_turn: AtomicUsize::new(0),
        })
    }

    /// Asks the brokers for the topic, and so whether they can be reached. Fails when no broker answers
    /// within `timeout`, or one refuses.
    pub fn topic_state(&self, timeout: Duration) -> KafkaResult<TopicState> {
        Ok(match self.queries(timeout).partitions()? {
            None => {
                self.topic_is_new();
                TopicState::Missing
            }
            Some(partitions) => TopicState::Available(partitions.len()),
        })
    }

    /// Finds out whether Kafka can be reached. The answer about the topic may come from a bootstrap address, so
    /// a partition's leader is asked for an offset too: it is at the address that the brokers advertise. Fails
    /// when no broker answers within `timeout` for each question.
    pub fn reach(&self, timeout: Duration) -> KafkaResult<TopicState> {
        let queries = self.queries(timeout);
        let Some(partitions) = queries.partitions()? else {
            self.topic_is_new();
            return Ok(TopicState::Missing);
        };
        match queries.any_offset(&partitions) {
            // A broker has answered, so it can be reached. The answer may be an error, as about a partition without a
            // leader.
            Err(error) if !is_without_answer(&error) => {}
            result => result?,
        }
        Ok(TopicState::Available(partitions.len()))
    }

    /// The latest reason why a connection to a broker failed. `None` if none has failed since the last call.
    pub fn connection_error(&self) -> Option<String> {
        let mut error = self
            .consumer
            .context()
            .connection_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        error.take()
    }

    pub fn subscribe(&self) -> KafkaResult<()> {
        Ok(self.consumer.subscribe(&[&self.topic.name])?)
    }

    /// Why the group may give no assignment: the last error of a connection, and what to check.
    pub fn missing_assignment_hint(&self) -> String {
        let error = self
            .connection_error()
            .unwrap_or_else(|| "the client reports no error".to_owned());
        let check = if self.uses_new_group_protocol {
            "`group.protocol` is `consumer`: see whether the brokers offer that protocol, and whether the group's \
             coordinator is up; without the property the worker joins by the older protocol"
        } else {
            "see whether the group's coordinator is up, and whether another member holds up a rebalance"
        };
        format!("{error}; {check}")
    }

    /// Begins to close. Keep polling until [`KafkaConsumer::is_closed`], since the revoke comes by polling.
    /// Unlike unsubscribing, this doesn't make a static member leave the group. Fails when the client is
    /// broken; polling brings no revoke then.
    pub fn close(&self) -> KafkaResult<()> {
        Ok(self.consumer.close_queue()?)
    }

    pub fn is_closed(&self) -> bool {
        self.consumer.closed()
    }

    /// Lets librdkafka write its log lines, such as why a connection failed. For a consumer that has not
    /// subscribed: nothing but log lines and errors can come then.
    pub fn serve_log(&self) {
        // A fixed number of polls, because the result of a poll doesn't say whether it served a log line.
        for _ in 0..EVENTS_PER_CALL {
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    /// Takes the next message, or serves the group. Waits up to `timeout`, and longer if a rebalance happens: an
    /// assignment asks for offsets, and a revoke waits for its drain.
    pub fn poll(&self, timeout: Duration) -> Polled<'_> {
        match self.consumer.poll(timeout) {
            None if self.consumer.context().log_signs.lacks_group_protocol() => {
                // librdkafka asks for the coordinator for ever. Of a broker's own refusal it makes this error.
                let refused = RDKafkaErrorCode::UnsupportedFeature;
                let error = ClientError::MessageConsumptionFatal(refused);
                Polled::Error(PollError::Fatal(error.into()))
            }
            None => Polled::Nothing,
            Some(Ok(message)) => Polled::Message(ConsumedMessage::new(message, &self.topic)),
            Some(Err(error)) => {
                let error = PollError::of(error);
                if let PollError::TopicMissing = error {
                    self.topic_is_new();
                }
                Polled::Error(error)
            }
        }
    }

    /// Pauses all assigned partitions, and those assigned later, until [`KafkaConsumer::resume`]. No message
    /// is delivered after this; what was prefetched is fetched again.
    pub fn pause(&self) -> KafkaResult<()> {
        let assignment = self.consumer.assignment()?;
        if assignment.count() > 0 {
            self.consumer.pause(&assignment)?;
        }
        let paused = &self.consumer.context().paused;
        paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn resume(&self) -> KafkaResult<()> {
        self.consumer
            .context()
            .paused
            .store(false, Ordering::Relaxed);
        let assignment = self.consumer.assignment()?;
        if assignment.count() > 0 {
            self.consumer.resume(&assignment)?;
        }
        Ok(())
    }

    /// The position of each partition from which a message was delivered. Transaction markers move it
    /// without a message.
    pub fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let Ok(positions) = self.consumer.position() else {
            return Vec::new();
        };
        positions
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                KafkaOffset::Offset(offset) => {
                    Some((self.topic.partition(element.partition()), Offset(offset)))
                }
                _ => None,
            })
            .collect()
    }

    /// What librdkafka's log said about the topic since the last call.
    pub fn take_topic_signs(&self) -> TopicSigns {
        let context = self.consumer.context();
        let Some(events) = context.log_signs.take() else {
            return TopicSigns::default();
        };
        let (strangers, natives) = match &events.id_to_compare {
            Some(id) => context.topic_ids.take_strangers_and_natives(id),
            None => Default::default(),
        };
        let mut recreated = None;
        if events.was_recreated {
            self.topic_is_new();
            let mut old = context.assignment.partitions();
            old.retain(|partition| !natives.contains(partition));
            recreated = (!old.is_empty()).then_some(Recreation::UnderThisWorker(old));
        } else if !strangers.is_empty() {
            self.topic_is_new();
            recreated = Some(Recreation::BeforeTheStart(strangers));
        }
        if recreated.is_none() {
            context.adopt_topic_id();
        }
        TopicSigns {
            was_offset_reset: events.was_offset_reset,
            recreated,
        }
    }

    /// The ends of the logs, as last reported; of a topic that was recreated, those of the old one.
    pub fn last_ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let ends = &self.consumer.context().ends;
        ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the topic didn't exist or was recreated. All its records are new to the group, so they are all read.
    fn topic_is_new(&self) {
        self.consumer.context().first_starts.topic_is_new();
    }

    pub(super) fn queries(&self, timeout: Duration) -> Queries<'_, RebalanceContext> {
        Queries {
            consumer: &self.consumer,
            topic: &self.topic,
            timeout,
        }
    }

    /// What the group's commits say of all partitions.
    pub(super) fn commit_text(&self) -> CommitText {
        let context = self.consumer.context();
        CommitText {
            topic_id: context.topic_ids.of_commits(),
            ..context.first_starts.commit_text()
        }
    }

    /// Where each assigned partition that has a leader ends now. For the time of a pause: otherwise the statistics tell.
    /// Fails when a broker doesn't answer within `timeout`.
    pub fn ends(&self, timeout: Duration) -> KafkaResult<Vec<EndOffset>> {
        let queries = self.queries(timeout);
        let assigned = self.consumer.context().assignment.partitions();
        let led = queries.with_leader(&assigned)?;
        if led.is_empty() {
            return Ok(Vec::new());
        }
        let ends = queries.offsets_for(&led, KafkaOffset::End)?;
        let end = |(partition, offset)| EndOffset {
            partition,
            offset,
            is_reached: false,
            is_drained: false,
        };
        Ok(ends.into_iter().map(end).collect())
    }

    /// The earliest offset that still exists. Takes half a second beside a running fetch. Fails when the
    /// partition's broker doesn't answer within `timeout`.
    pub fn earliest(&self, partition: TopicPartition, timeout: Duration) -> KafkaResult<Offset> {
        let (low, _) =
            self.consumer
                .fetch_watermarks(&self.topic.name, partition.number, timeout)?;
        Ok(Offset(low))
    }

    pub(super) fn client(&self) -> &BaseConsumer<RebalanceContext> {
        &self.consumer
    }

    pub(super) fn topic(&self) -> &Topic {
        &self.topic
    }
}

impl PollError {
    fn of(error: ClientError) -> Self {
        if let ClientError::MessageConsumptionFatal(_) = error {
            return Self::Fatal(error.into());
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Self::BrokersDown,
            Some(code) if is_unknown_topic(code) => Self::TopicMissing,
            _ if is_authorization(&error) => Self::Fatal(error.into()),
            _ => Self::Transient(error.into()),
        }
    }
}

impl fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConsumer")
            .field("topic", &self.topic.name)
            .finish_non_exhaustive()
    }
}
