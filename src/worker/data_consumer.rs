//! The consumer of the specification: connects, and runs until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use log::{error, info, warn};

use super::memory::{self, MemoryLimit};
use super::reload::{FileHashes, hashes_of_files};
use crate::config::{Config, OnUnavailable};
use crate::core::availability::OutageCause;
use crate::core::partition::TopicId;
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
    CaughtSignals, Delays, PauseSwitch, ProcessEvent, ProcessEvents, Restart, RetryError,
    SignalThread, StopSignal, Threads, instance, retry,
};
use crate::store::OutageTracker;

/// Takes messages off the topic and stores them, until told to stop.
pub struct DataConsumer {
    pub(super) config: Config,
    /// Where the configuration is read again.
    pub(super) config_file: PathBuf,
    pub(super) files: FileHashes,
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    pub(super) board: Arc<StatusBoard>,
    pub(super) pause: PauseSwitch,
    /// Every thread has been started.
    pub(super) has_started: Arc<AtomicBool>,
    pub(super) stop: StopSignal,
    pub(super) restart: Restart,
    pub(super) events: ProcessEvents,
    pub(super) event_receiver: Receiver<ProcessEvent>,
}

/// How a worker ended that did not fail.
pub enum Ended {
    /// As a signal asked.
    Stopped,
    /// To begin anew with a new configuration.
    Reloading {
        /// An operator's pause is to hold further on, even if it is ordered only now.
        pause: PauseSwitch,
        /// To be asked again when `signals` has ended: a signal may still come.
        restart: Restart,
        signals: SignalThread,
    },
}

impl DataConsumer {
    /// `config_file` is where `config` was read, together with the environment. An operator may have ordered `pause`
    /// already.
    pub fn new(config: Config, config_file: PathBuf, pause: PauseSwitch) -> Self {
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
            files: hashes_of_files(&config),
            config,
            config_file,
            metrics,
            health,
            board,
            pause,
            has_started: Arc::default(),
            stop: StopSignal::new(),
            restart: Restart::default(),
            events,
            event_receiver,
        }
    }

    /// Runs until a signal, a reload or a failure, and stops in order. Fails when the process ends for another reason than
    /// a signal or a reload.
    pub fn run(self, signals: CaughtSignals) -> Result<Ended, Failure> {
        memory::report(&self.config);
        let mut threads = Threads::new(self.events.clone());
        let outcome = self
            .spawn_watchdog(&mut threads)
            .and_then(|()| self.spawn_signals(&mut threads, signals))
            .and_then(|(signals, hangups)| {
                // If the stop comes while connecting, there is nothing to settle.
                if let Some(running) = self.start(&mut threads, hangups)? {
                    self.has_started.store(true, Ordering::Release);
                    self.supervise(&mut threads, running)?;
                }
                Ok(signals)
            });
        // Logged here, so that the last line of the log says why the process ends.
        report_suppressed(Instant::now(), Duration::ZERO);
        let outcome = outcome.map(|signals| {
            if self.restart.is_wanted() {
                Ended::Reloading {
                    pause: self.pause.clone(),
                    restart: self.restart.clone(),
                    signals,
                }
            } else {
                Ended::Stopped
            }
        });
        match &outcome {
            Ok(Ended::Stopped) => info!("stopped as asked"),
            Ok(Ended::Reloading { .. }) => info!("stopped, to begin anew"),
            Err(failure) => error!("stopped: {}", failure.chain()),
        }
        outcome
    }

    /// Runs `ask` on a thread of its own, since a server that is silent may be waited for longer than a stop may take.
    /// `None` if the stop came first: then the thread is left behind. Fails when another thread has failed meanwhile.
    fn answer<T: Send + 'static>(
        &self,
        threads: &mut Threads,
        name: &str,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let (done, answer) = bounded(1);
        threads.spawn_detached(name, move || {
            // If the stop came first, nobody waits for the answer.
            let _ = done.send(ask());
        })?;
        select! {
            recv(answer) -> answer => match answer {
                Ok(answer) => Ok(Some(answer)),
                Err(_) => Err(Failure::running(format!("thread `{name}` panicked"))),
            },
            recv(self.event_receiver) -> event => match event {
                Ok(ProcessEvent::StopRequested) => {
                    self.health.set_stopping();
                    Ok(None)
                }
                Ok(ProcessEvent::Failed(failure)) => Err(failure),
                Ok(ProcessEvent::ThreadEnded { thread, result }) => {
                    self.health.thread_died(&thread);
                    let by_itself = || Failure::running(format!("thread `{thread}` ended by itself"));
                    Err(result.err().unwrap_or_else(by_itself))
                }
                Err(_) => Err(Failure::running("no event can come any more")),
            },
        }
    }

    /// A consumer whose brokers have answered. `None` if the stop came first. Fails when the client refuses a
    /// property, or when no broker answers within the attempts.
    pub fn connect_kafka(
        &self,
        threads: &mut Threads,
        assignment: &Arc<Assignment>,
        listener: Arc<dyn RebalanceListener>,
    ) -> Result<Option<Arc<KafkaConsumer>>, Failure> {
        let consumer = KafkaConsumer::new(
            &self.config,
            TopicId::CONSUMED,
            Arc::clone(assignment),
            listener,
            self.stop.clone(),
        )
        .map_err(|error| {
            Failure::configuration("the Kafka client refused the consumer's settings")
                .because(error)
        })?;
        let consumer = Arc::new(consumer);
        let asked = Arc::clone(&consumer);
        let attempts = self.attempts();
        let (stop, health) = (self.stop.clone(), Arc::clone(&self.health));
        let topic = self.answer(threads, "kafka-connect", move || {
            let beat = || health.beat(Instant::now());
            reach_kafka(&asked, attempts, &stop, beat, || asked.serve_log())
        })?;
        let Some(topic) = topic.transpose()?.flatten() else {
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
        Ok(Some(consumer))
    }

    /// A handler whose server has answered. If no server answers within the attempts, the worker starts
    /// nevertheless, and MongoDB counts as unavailable. `None` if the stop came first. Fails when the URI
    /// can't be used, MongoDB refuses the worker, or the collection is unfit.
    pub fn connect_mongodb(
        &self,
        threads: &mut Threads,
        outage: &Arc<OutageTracker>,
    ) -> Result<Option<Arc<MongoDbHandler>>, Failure> {
        let (config, outage) = (self.config.clone(), Arc::clone(outage));
        let (stop, health) = (self.stop.clone(), Arc::clone(&self.health));
        let handler = self.answer(threads, "mongodb-connect", move || {
            reach_mongodb(&config, &outage, &stop, &health)
        })?;
        Ok(handler.transpose()?.flatten().map(Arc::new))
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
        replays_after_outage: config.mongodb.replay_after_outage,
    }
}

/// Asks MongoDB until a server answers, or until the attempts are used up: then it counts as unavailable. `None` if the
/// stop came first.
fn reach_mongodb(
    config: &Config,
    outage: &OutageTracker,
    stop: &StopSignal,
    health: &Health,
) -> Result<Option<MongoDbHandler>, Failure> {
    let delays = Delays::doubling(config.consumer.retry_backoff);
    retry(
        stop,
        delays,
        || health.beat(Instant::now()),
        |attempt| {
            let (handler, error) = match MongoDbHandler::connect(config) {
                Ok(handler) => match handler.check_target() {
                    Ok(topology) => {
                        if let Some(warning) = rollback_warning(config, topology) {
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
            if attempt < config.consumer.max_retries {
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
    )
}
