//! After an outage of MongoDB, brings home what was sent to the dead letter topic meanwhile: a second intake, with a group
//! of its own, reads these dead letters, and few writers of its own store them beside the live messages.
//!
//! While MongoDB is unavailable, the letters wait. What MongoDB refuses for another reason becomes a dead letter again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use log::warn;

use super::data_consumer::DataConsumer;
use super::memory::{REPLAY_IN_FLIGHT, REPLAY_PREFETCH};
use crate::commit::{
    self, CommitObserver, CommitterHandle, CommitterSettings, Outcome, Ownership, Settlement,
};
use crate::config::{AutoOffsetReset, Config};
use crate::core::batch_limit::BatchRange;
use crate::core::dead_letter::{ReplayCriteria, replay_group};
use crate::core::leader_watch::LeaderWatch;
use crate::core::partition::{TopicId, TopicPartition};
use crate::core::record::Timestamp;
use crate::core::rejection::Reason;
use crate::core::stall::Stalled;
use crate::core::time_limits::RevokeBudget;
use crate::failure::Failure;
use crate::intake::{LEADERLESS_BOUND, Poller, PollerSettings, RebalanceHandler};
use crate::kafka::{
    Assignment, DeadLetterProducer, GroupOffsets, KafkaConsumer, PREFETCH_PROPERTY, TopicState,
};
use crate::mongo::MongoDbHandler;
use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;
use crate::runtime::{StopSignal, Threads};
use crate::store::{
    BatchLimit, DeadLetters, FloodGuard, MongoDbInserter, OutageTracker, Stage, StoreObserver,
    WriterPool, Yielding, consumer_identity,
};

/// Of so many writers for live messages, one more stores dead letters.
const LIVE_WRITERS_FOR_EACH: usize = 8;
/// How often a missing dead letter topic is looked for, and how long one look may take.
const TOPIC_INTERVAL: Duration = Duration::from_secs(5);
const TOPIC_TIMEOUT: Duration = Duration::from_secs(2);

impl DataConsumer {
    /// Starts the second intake. `outage` shares what the writers of live messages know of
    /// MongoDB, and lets records wait.
    pub(super) fn start_outage_replay(
        &self,
        threads: &mut Threads,
        dead_letters: &Arc<DeadLetterProducer>,
        outage: &Arc<OutageTracker>,
        mongodb: &Arc<MongoDbHandler>,
    ) -> Result<(), Failure> {
        self.metrics.set_replay_enabled();
        let config = config_of_replay(&self.config);
        let assignment = Arc::new(Assignment::default());
        let (committer, messages) = CommitterHandle::channel();
        let observer = Arc::new(ReplayObserver {
            metrics: Arc::clone(&self.metrics),
            outage: Arc::clone(outage),
            waiting: Mutex::default(),
            standstill: Mutex::new(Standstill::new(config.consumer.stalled_after)),
        });
        // The intake reports about its partitions, and those are of the dead letter topic. What the worker shows is about
        // the partitions of the topic that it consumes. Of this health only the beats count.
        let metrics = Arc::new(MetricsCollector::new(0, &[]));
        let health = Arc::new(Health::new(Instant::now(), config.kafka.max_poll_interval));
        let listener = RebalanceHandler {
            committer: committer.clone(),
            events: self.events.clone(),
            assignment: Arc::clone(&assignment),
            outage: Arc::clone(outage),
            flood: Arc::new(FloodGuard::off()),
            stop: self.stop.clone(),
            metrics: Arc::clone(&metrics),
            losses: Arc::clone(&self.metrics),
            health: Arc::clone(&health),
            budget: RevokeBudget::new(
                config.kafka.max_poll_interval,
                config.consumer.shutdown_timeout,
            ),
            leaders: Mutex::new(LeaderWatch::new(LEADERLESS_BOUND)),
            topic: config.kafka.topic.clone(),
        };
        let consumer = self.letters_consumer(&config, &assignment, listener)?;
        let ownership = Ownership::Assigned(Arc::clone(&assignment));
        let dispatcher = commit::start(
            threads,
            committer.clone(),
            messages,
            CommitterSettings {
                thread_prefix: "replay-",
                ..CommitterSettings::new(&config.consumer, self.pause.clone())
            },
            ownership.clone(),
            GroupOffsets::new(&consumer, Arc::new(FloodGuard::off())),
            Arc::clone(&observer) as Arc<_>,
        )?;
        let stage = Stage {
            dead_letters: DeadLetters::new(
                Arc::clone(dead_letters) as Arc<_>,
                consumer_identity(&self.config),
                &self.config.kafka.dead_letter_topic,
                self.events.clone(),
            ),
            outage: Arc::clone(outage),
            // These messages were taken before, and nobody would wait for their end.
            flood: Arc::new(FloodGuard::off()),
            ownership,
            stop: self.stop.clone(),
            observer,
            rules: Arc::clone(&self.config.message.rules),
            // Small inserts: live messages go first.
            batch_limit: Arc::new(BatchLimit::new(BatchRange {
                least: config.consumer.batch_size,
                most: config.consumer.batch_size,
            })),
            max_attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
            yielding: Some(Yielding::to({
                let metrics = Arc::clone(&self.metrics);
                move || metrics.messages_consumed()
            })),
        };
        let writers = config.consumer.writer_threads;
        let pool = WriterPool::start(threads, "replay-writer", writers, stage, dispatcher, || {
            Box::new(MongoDbInserter::new(Arc::clone(mongodb)))
        })?;
        // Nobody receives: the worker's own consumer finds out whether Kafka can be reached.
        let (brokers_down, _) = bounded(1);
        let poller = Poller::new(
            Arc::clone(&consumer),
            pool,
            committer,
            assignment,
            self.events.clone(),
            self.stop.clone(),
            metrics,
            Arc::clone(&self.metrics),
            Arc::clone(&health),
            self.pause.clone(),
            brokers_down,
            PollerSettings {
                topic: config.kafka.topic.clone(),
                group: config.kafka.group_id.clone(),
                letters: Some(criteria(&self.config)),
                batch_size: config.consumer.batch_size,
                batch_bytes: config.consumer.batch_bytes,
                poll_timeout: config.kafka.poll_timeout,
            },
        );
        self.health.watch_too(Arc::clone(&health));
        let stop = self.stop.clone();
        threads.spawn("replay-poller", move || {
            wait_for_topic(&consumer, &health, &stop);
            drop(consumer);
            poller.run()
        })
    }

    fn letters_consumer(
        &self,
        config: &Config,
        assignment: &Arc<Assignment>,
        listener: RebalanceHandler,
    ) -> Result<Arc<KafkaConsumer>, Failure> {
        let consumer = KafkaConsumer::new(
            config,
            TopicId::DEAD_LETTERS,
            Arc::clone(assignment),
            Arc::new(listener),
            self.stop.clone(),
        );
        consumer.map(Arc::new).map_err(|error| {
            Failure::configuration("the Kafka client refused the settings of the replay's consumer")
                .because(error)
        })
    }
}

/// The same servers and logins, with the dead letter topic in the place of the topic, and with less at a time.
fn config_of_replay(config: &Config) -> Config {
    let mut replay = config.clone();
    let kafka = &mut replay.kafka;
    kafka.topic.clone_from(&config.kafka.dead_letter_topic);
    kafka.group_id = replay_group(&config.kafka.group_id, Reason::MongodbUnavailable);
    kafka.auto_offset_reset = AutoOffsetReset::Earliest;
    for (name, value) in [
        (PREFETCH_PROPERTY, (REPLAY_PREFETCH >> 10).to_string()),
        ("fetch.message.max.bytes", "262144".to_owned()),
    ] {
        kafka.consumer_properties.insert(name.to_owned(), value);
    }
    let consumer = &mut replay.consumer;
    consumer.writer_threads = consumer.writer_threads.div_ceil(LIVE_WRITERS_FOR_EACH);
    consumer.batch_bytes = consumer.batch_bytes.min(REPLAY_IN_FLIGHT / 2);
    consumer.max_in_flight_bytes = REPLAY_IN_FLIGHT;
    // One batch with each writer, and one that waits for it.
    consumer.max_in_flight_messages = consumer.batch_size * consumer.writer_threads * 2;
    replay
}

fn criteria(config: &Config) -> ReplayCriteria {
    ReplayCriteria {
        topic: config.kafka.topic.clone(),
        consumer_group: config.kafka.group_id.clone(),
        reason: Reason::MongodbUnavailable,
        since: None,
        max_replays: u32::MAX,
    }
}

/// Returns when there is a dead letter topic, or at the stop. The first dead letter creates the topic, where the brokers
/// allow that, so it is no fault that it is missing. If nobody answers, the poller finds out why.
fn wait_for_topic(consumer: &KafkaConsumer, health: &Health, stop: &StopSignal) {
    while let Ok(TopicState::Missing) = consumer.topic_state(TOPIC_TIMEOUT) {
        health.beat(Instant::now());
        consumer.serve_log();
        if stop.wait(TOPIC_INTERVAL) {
            return;
        }
    }
}

/// Counts what is brought home, and how much waits.
struct ReplayObserver {
    metrics: Arc<MetricsCollector>,
    outage: Arc<OutageTracker>,
    standstill: Mutex<Standstill>,
    /// By partition of the dead letter topic.
    waiting: Mutex<BTreeMap<TopicPartition, u64>>,
}

/// Partitions of the dead letter topic that have work and don't move on.
struct Standstill {
    /// How long MongoDB has to be available before a standstill has another cause than the outage.
    stalled_after: Duration,
    partitions: Vec<TopicPartition>,
    available_since: Option<Instant>,
    is_said: bool,
}

impl Standstill {
    fn new(stalled_after: Duration) -> Self {
        Self {
            stalled_after,
            partitions: Vec::new(),
            available_since: None,
            is_said: false,
        }
    }

    /// Called now and then. While MongoDB takes no writes all letters wait, and that is logged already.
    fn say_if_due(&mut self, now: Instant, takes_writes: bool) {
        let is_due = self.is_due(now, takes_writes);
        if is_due && !self.is_said {
            self.is_said = true;
            warn!(partitions:? = self.partitions;
                "the replay after an outage stands still, although MongoDB is available: see whether these partitions of \
                 the dead letter topic have a leader, and how long MongoDB's inserts take");
        }
    }

    fn is_due(&mut self, now: Instant, takes_writes: bool) -> bool {
        if !takes_writes {
            self.available_since = None;
            return false;
        }
        let since = *self.available_since.get_or_insert(now);
        !self.partitions.is_empty() && now.duration_since(since) >= self.stalled_after
    }
}

impl StoreObserver for ReplayObserver {}

impl CommitObserver for ReplayObserver {
    fn settled(&self, settlement: &Settlement) {
        let count = u64::try_from(settlement.weight.messages).unwrap_or(u64::MAX);
        match settlement.outcome {
            Outcome::Stored | Outcome::AlreadyStored => {
                self.metrics.increment_letters_brought_home(count);
            }
            Outcome::DeadLettered(reason) => {
                self.metrics.increment_letters_refused_again(count);
                self.metrics.increment_dead_letters(reason.as_str(), count);
            }
            // Only the command publishes.
            Outcome::Published => {}
        }
    }

    fn lag(&self, partition: TopicPartition, lag: u64, _oldest: Option<Timestamp>) {
        self.change(|waiting| waiting.insert(partition, lag));
        let takes_writes = self.outage.is_available() && self.outage.is_collection_prepared();
        self.standstill().say_if_due(Instant::now(), takes_writes);
    }

    fn stalled(&self, stalled: &[Stalled]) {
        let mut standstill = self.standstill();
        standstill.partitions = stalled.iter().map(|stalled| stalled.partition).collect();
        standstill.is_said = false;
    }

    fn commit_failed(&self) {
        self.metrics.increment_offset_commit_failures();
    }

    fn forgotten(&self, partition: TopicPartition) {
        self.change(|waiting| waiting.remove(&partition));
    }
}

impl ReplayObserver {
    fn standstill(&self) -> MutexGuard<'_, Standstill> {
        let standstill = self.standstill.lock();
        standstill.unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<TopicPartition, u64>) -> T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        self.metrics.set_letters_waiting(waiting.values().sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_that_outlasts_the_outage_is_said() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut standstill = Standstill::new(Duration::from_secs(60));
        standstill.partitions = vec![TopicPartition::consumed(0)];
        assert!(!standstill.is_due(at(0), false), "an outage");
        assert!(!standstill.is_due(at(500), true), "it has just ended");
        assert!(!standstill.is_due(at(559), true));
        assert!(standstill.is_due(at(560), true));
        assert!(!standstill.is_due(at(561), false), "the next outage");
        assert!(!standstill.is_due(at(600), true));
        standstill.partitions.clear();
        assert!(!standstill.is_due(at(900), true), "all of them move on");
    }
}
