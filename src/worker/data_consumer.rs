//! The consumer of the specification: connects, and runs until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{error, info, warn};

use super::memory::{self, MemoryLimit};
use crate::config::{Config, OnUnavailable};
use crate::core::availability::OutageCause;
use crate::core::rejection::Reason;
use crate::failure::Failure;
use crate::intake::{Attempts, reach_kafka};
use crate::kafka::{Assignment, KafkaConsumer, RebalanceListener, TopicState};
use crate::mongo::{MongoDbError, MongoDbHandler, rollback_warning};
use crate::observe::board::{Fixed, StatusBoard};
use crate::observe::health::Health;
use crate::observe::log::report_suppressed;
use crate::observe::metrics::{ConnectionTarget, MetricsCollector};
use crate::observe::status::{Identity, OnMongodbUnavailable};
use crate::runtime::{
    CaughtSignals, Delays, PauseSwitch, ProcessEvent, ProcessEvents, RetryError, StopSignal,
    Threads, instance, retry,
};
use crate::store::OutageTracker;

/// Takes messages off the topic and stores them, until told to stop.
pub struct DataConsumer {
    pub(super) config: Config,
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    pub(super) board: Arc<StatusBoard>,
    pub(super) pause: PauseSwitch,
    /// Every thread has been started.
    pub(super) has_started: Arc<AtomicBool>,
    pub(super) stop: StopSignal,
    pub(super) events: ProcessEvents,
    pub(super) event_receiver: Receiver<ProcessEvent>,
}

impl DataConsumer {
    pub fn new(config: Config) -> Self {
        let metrics = Arc::new(MetricsCollector::new(
            config.metrics.port,
            &Reason::ALL.map(Reason::as_str),
        ));
        let health = Arc::new(Health::new(Instant::now(), config.kafka.max_poll_interval));
        metrics.set_memory(MemoryLimit::find().container(), memory::worst_case(&config));
        let board = Arc::new(StatusBoard::new(
            Arc::clone(&metrics),
            Arc::clone(&health),
            fixed_status(&config),
        ));
        let (events, event_receiver) = ProcessEvents::channel();
        Self {
            config,
            metrics,
            health,
            board,
            pause: PauseSwitch::default(),
            has_started: Arc::default(),
            stop: StopSignal::new(),
            events,
            event_receiver,
        }
    }

    /// Runs until a signal or a failure, and stops in order. Fails when the process ends for another reason than a
    /// signal.
    pub fn run(self, signals: CaughtSignals) -> Result<(), Failure> {
        memory::report(&self.config);
        let mut threads = Threads::new(self.events.clone());
        let outcome = self
            .start(&mut threads, signals)
            .and_then(|running| match running {
                Some(running) => {
                    self.has_started.store(true, Ordering::Release);
                    self.supervise(&mut threads, running)
                }
                // The stop came while connecting: there is nothing to settle.
                None => Ok(()),
            });
        // Logged here, so that the last line of the log says why the process ends.
        report_suppressed(Instant::now(), Duration::ZERO);
        match &outcome {
            Ok(()) => info!("stopped as asked"),
            Err(failure) => error!("stopped: {}", failure.chain()),
        }
        outcome
    }

    /// A consumer whose brokers have answered. `None` if the stop came first. Fails when the client refuses a
    /// property, or when no broker answers within the attempts.
    pub fn connect_kafka(
        &self,
        assignment: &Arc<Assignment>,
        listener: Arc<dyn RebalanceListener>,
    ) -> Result<Option<Arc<KafkaConsumer>>, Failure> {
        let consumer = KafkaConsumer::new(
            &self.config,
            Arc::clone(assignment),
            listener,
            self.stop.clone(),
        )
        .map_err(|error| {
            Failure::configuration("the Kafka client refused the consumer's settings")
                .because(error)
        })?;
        let topic = reach_kafka(
            &consumer,
            self.attempts(),
            &self.stop,
            || self.beat(),
            || {
                consumer.serve_log();
            },
        )?;
        let Some(topic) = topic else {
            return Ok(None);
        };
        self.metrics.set_connected(ConnectionTarget::Kafka, true);
        self.health.set_kafka_reachable(true);
        let name = &self.config.kafka.topic;
        match topic {
            TopicState::Available(partitions) => {
                self.health.set_topic_exists(true);
                info!(topic = name, partitions; "connected to Kafka");
            }
            TopicState::Missing => {
                self.health.set_topic_exists(false);
                warn!(topic = name; "connected to Kafka; the topic is missing: waiting for it");
            }
        }
        Ok(Some(Arc::new(consumer)))
    }

    /// A handler whose server has answered. If no server answers within the attempts, the worker starts
    /// nevertheless, and MongoDB counts as unavailable. `None` if the stop came first. Fails when the URI
    /// can't be used, MongoDB refuses the worker, or the collection is unfit.
    pub fn connect_mongodb(
        &self,
        outage: &OutageTracker,
    ) -> Result<Option<Arc<MongoDbHandler>>, Failure> {
        let consumer = &self.config.consumer;
        let delays = Delays::doubling(consumer.retry_backoff);
        let handler = retry(
            &self.stop,
            delays,
            || self.beat(),
            |attempt| {
                let (handler, error) = match MongoDbHandler::connect(&self.config) {
                    Ok(handler) => match handler.check_target() {
                        Ok(topology) => {
                            if let Some(warning) = rollback_warning(&self.config, topology) {
                                warn!("{warning}");
                            }
                            outage.report(true);
                            info!("connected to MongoDB");
                            return Ok(handler);
                        }
                        Err(error) => (Some(handler), error),
                    },
                    Err(error) => (None, error),
                };
                let why = match error {
                    MongoDbError::Refused(why) => {
                        return Err(RetryError::Final(Failure::mongodb_refused().because(why)));
                    }
                    MongoDbError::Unavailable(why) => why,
                };
                if attempt < consumer.max_retries {
                    warn!(attempt; "MongoDB could not be reached, trying again: {why}");
                    return Err(RetryError::Again);
                }
                // There is no handler if the DNS seed list of the URI could not be looked up. Then there is no
                // client that could connect later.
                let handler = handler.ok_or_else(|| {
                    RetryError::Final(Failure::mongodb_unreachable().because(why.clone()))
                })?;
                outage.failed(OutageCause::NoAnswer, &why);
                Ok(handler)
            },
        )?;
        Ok(handler.map(Arc::new))
    }

    /// Tells the health page that the worker is alive. Called while the start waits for Kafka or MongoDB.
    fn beat(&self) {
        self.health.beat(Instant::now());
    }

    pub(super) fn attempts(&self) -> Attempts {
        let consumer = &self.config.consumer;
        Attempts {
            count: consumer.max_retries,
            first_delay: consumer.retry_backoff,
        }
    }
}

/// What the status shows of the configuration.
fn fixed_status(config: &Config) -> Fixed {
    let whole = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX);
    Fixed {
        worker: Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: instance(),
            group: config.kafka.group_id.clone(),
            topic: config.kafka.topic.clone(),
            dead_letter_topic: config.kafka.dead_letter_topic.clone(),
            database: config.mongodb.database.clone(),
            collection: config.mongodb.collection.clone(),
            on_mongodb_unavailable: match config.mongodb.on_unavailable {
                OnUnavailable::DeadLetter => OnMongodbUnavailable::DeadLetter,
                OnUnavailable::Pause => OnMongodbUnavailable::Pause,
            },
        },
        max_messages: whole(config.consumer.max_in_flight_messages),
        max_bytes: whole(config.consumer.max_in_flight_bytes),
        memory_limit: MemoryLimit::find().container(),
        memory_worst_case: Some(memory::worst_case(config)),
    }
}
