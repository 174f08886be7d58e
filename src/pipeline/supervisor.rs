//! The whole: connects, starts the threads, hears of their ends, and stops them in the order of the
//! flow. A stop that hangs is ended by the watchdog.

use std::net::SocketAddr;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use backoff::backoff::Backoff as _;
use crossbeam_channel::{Receiver, Sender, after, bounded};
use log::{error, info, warn};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::committer::{CommitThread, Committer};
use super::failure::Failure;
use super::gate::Gate;
use super::group::{Group, RevokeBudget};
use super::in_flight::InFlight;
use super::memory;
use super::messages::{CommitAnswer, Event, ToCommitter};
use super::poller::Poller;
use super::settling::DeliveryReports;
use super::stop::StopSignal;
use super::threads::Threads;
use super::watch::{Attempts, KafkaWatch, reach_kafka};
use super::writer::{Writer, WriterContext, delays};
use crate::config::{Config, OnUnavailable, W};
use crate::core::assignment::Assignment;
use crate::core::dead_letter::Origin;
use crate::core::rejection::Reason;
use crate::kafka::{
    DeadLetterProducer, DeliveryEvents, GroupEvents, KafkaConsumer, TopicState,
    dead_letter_topic_warnings,
};
use crate::mongo::{MongoDbError, MongoDbHandler, Topology};
use crate::observe::health::Health;
use crate::observe::http::{HANDLER_THREADS, HttpServer};
use crate::observe::log::RateLimited;
use crate::observe::metrics::ConnectionTarget;
use crate::observe::metrics::MetricsCollector;

/// Messages to the committer that may wait: a few for each batch and dead letter in flight. It never
/// waits for anyone, so a full channel only slows those down who settle.
const COMMITTER_QUEUE: usize = 4096;
/// Events to the supervisor: each thread ends once, and of failures the first few say enough.
const EVENT_QUEUE: usize = 64;

/// The consumer of the specification: takes messages off the topic and stores them, until told to stop.
pub struct DataConsumer {
    config: Config,
    metrics: Arc<MetricsCollector>,
    health: Arc<Health>,
    stop: StopSignal,
    events: (Sender<Event>, Receiver<Event>),
}

impl DataConsumer {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let reasons: Vec<&'static str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let metrics = Arc::new(MetricsCollector::new(config.metrics.port, &reasons));
        let health = Arc::new(Health::new(Instant::now(), config.kafka.max_poll_interval));
        Self {
            config,
            metrics,
            health,
            stop: StopSignal::new(),
            events: bounded(EVENT_QUEUE),
        }
    }

    /// Runs until a signal or a failure, and stops in order.
    ///
    /// # Errors
    /// Why the process ended otherwise than as asked.
    pub fn run(self) -> Result<(), Failure> {
        memory::report(&self.config);
        let mut threads = Threads::new(self.events.0.clone());
        let outcome = self.start(&mut threads).and_then(|running| match running {
            Some(running) => self.supervise(&threads, running),
            // The stop came while connecting: there is nothing to settle.
            None => Ok(()),
        });
        match &outcome {
            Ok(()) => info!("stopped as asked"),
            Err(failure) => error!("stopped: {failure}"),
        }
        outcome
    }

    /// Connects, and starts every thread. `None` when the stop came first.
    fn start(&self, threads: &mut Threads) -> Result<Option<Running>, Failure> {
        self.spawn_watchdog(threads)?;
        self.spawn_signals(threads)?;
        let http = self.spawn_http(threads)?;

        let config = &self.config;
        let consumer_settings = &config.consumer;
        let assignment = Arc::new(Assignment::default());
        let gate = Arc::new(Gate::new(
            config.mongodb.reconnect_interval,
            config.mongodb.on_unavailable,
            Arc::clone(&self.metrics),
            Arc::clone(&self.health),
        ));
        let in_flight = Arc::new(InFlight::new(
            consumer_settings.max_in_flight_messages,
            consumer_settings.max_in_flight_bytes,
        ));
        let (to_committer, committer_messages) = bounded(COMMITTER_QUEUE);

        let group = Group {
            committer: to_committer.clone(),
            supervisor: self.events.0.clone(),
            assignment: Arc::clone(&assignment),
            gate: Arc::clone(&gate),
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            budget: RevokeBudget::new(
                config.kafka.max_poll_interval,
                consumer_settings.shutdown_timeout,
            ),
            topic: config.kafka.topic.clone(),
        };
        let Some(consumer) = self.connect_kafka(&assignment, Arc::new(group))? else {
            return Ok(None);
        };
        let Some(mongodb) = self.connect_mongodb(&gate)? else {
            return Ok(None);
        };
        self.spawn_mongodb_setup(threads, &mongodb)?;
        self.spawn_dead_letter_check(threads)?;

        let reports: Arc<dyn DeliveryEvents> = Arc::new(DeliveryReports {
            committer: to_committer.clone(),
            supervisor: self.events.0.clone(),
            dead_letter_topic: config.kafka.dead_letter_topic.clone(),
        });
        let dead_letters = Arc::new(
            DeadLetterProducer::new(config, &reports)
                .map_err(|error| Failure::Setting(format!("the producer's settings: {error}")))?,
        );

        self.spawn_committer(
            threads,
            committer_messages,
            &in_flight,
            &consumer,
            &assignment,
        )?;
        let context = Arc::new(self.writer_context(
            mongodb,
            Arc::clone(&dead_letters),
            to_committer.clone(),
            &assignment,
            gate,
        ));
        let batches = self.spawn_writers(threads, &context)?;
        self.spawn_poller(
            threads,
            consumer,
            context,
            in_flight,
            assignment,
            batches,
            to_committer,
        )?;
        Ok(Some(Running { dead_letters, http }))
    }

    /// A consumer whose brokers have answered. `None` when the stop came first.
    ///
    /// # Errors
    /// When librdkafka refuses a property, or no broker answers within the attempts.
    pub fn connect_kafka(
        &self,
        assignment: &Arc<Assignment>,
        events: Arc<dyn GroupEvents>,
    ) -> Result<Option<Arc<KafkaConsumer>>, Failure> {
        let consumer = KafkaConsumer::new(&self.config, Arc::clone(assignment), events)
            .map_err(|error| Failure::Setting(format!("the consumer's settings: {error}")))?;
        let Some(topic) = reach_kafka(&consumer, self.attempts(), &self.stop)? else {
            return Ok(None);
        };
        self.metrics.set_connected(ConnectionTarget::Kafka, true);
        self.health.set_kafka_reachable(true);
        let name = &self.config.kafka.topic;
        match topic {
            TopicState::Partitions(partitions) => {
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

    /// A handler whose server has answered, or that found none within the attempts: then MongoDB is
    /// unavailable, as it may become later. `None` when the stop came first.
    ///
    /// # Errors
    /// When the URI is of no use, MongoDB refuses us, or the collection is not fit.
    pub fn connect_mongodb(&self, gate: &Gate) -> Result<Option<Arc<MongoDbHandler>>, Failure> {
        let mut delays = delays(self.config.consumer.retry_backoff);
        let mut attempt = 1;
        loop {
            let (handler, why) = match MongoDbHandler::connect(&self.config) {
                Ok(handler) => match handler.check_target() {
                    Ok(topology) => {
                        self.warn_of_rollback(topology);
                        gate.show(true);
                        info!("connected to MongoDB");
                        return Ok(Some(Arc::new(handler)));
                    }
                    Err(error) => (Some(handler), error),
                },
                Err(error) => (None, error),
            };
            let why = match why {
                MongoDbError::Refused(why) => return Err(Failure::MongoDbRefused(why)),
                MongoDbError::Unavailable(why) => why,
            };
            if attempt >= self.config.consumer.max_retries {
                // Without a seed list there is no client that could come back later.
                let handler = handler.ok_or_else(|| Failure::Running(why.clone()))?;
                gate.failed(&why);
                return Ok(Some(Arc::new(handler)));
            }
            warn!(attempt; "MongoDB could not be reached, trying again: {why}");
            attempt += 1;
            if self.stop.wait(delays.next_backoff().unwrap_or_default()) {
                return Ok(None);
            }
        }
    }

    fn warn_of_rollback(&self, topology: Topology) {
        let concern = &self.config.mongodb.write_concern;
        if topology == Topology::ReplicaSet && concern.w == W::Nodes(1) {
            warn!(
                "`mongodb.write_concern.w` is 1 on a replica set: a failover can roll back what was \
                   acknowledged; `\"majority\"` can't be"
            );
        }
        if !concern.journal {
            warn!(
                "`mongodb.write_concern.journal` is false: a crash of mongod can take acknowledged \
                   messages with it"
            );
        }
    }

    fn attempts(&self) -> Attempts {
        let consumer = &self.config.consumer;
        Attempts {
            count: consumer.max_retries,
            first_delay: consumer.retry_backoff,
        }
    }

    fn spawn_watchdog(&self, threads: &mut Threads) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let timeout = self.config.consumer.shutdown_timeout;
        threads.spawn_detached("watchdog", move || {
            stop.wait_for_stop();
            // The time that passes is all that it brings.
            let _ = after(timeout).recv();
            error!("the stop hangs: ending the process; what isn't committed will be read again");
            process::exit(1);
        })
    }

    fn spawn_signals(&self, threads: &mut Threads) -> Result<(), Failure> {
        let mut signals = Signals::new([SIGTERM, SIGINT])
            .map_err(|error| Failure::Running(format!("can't listen for signals: {error}")))?;
        let events = self.events.0.clone();
        let stop = self.stop.clone();
        let settle_time = settle_time(&self.config);
        threads.spawn_detached("signals", move || {
            for (count, _) in signals.forever().enumerate() {
                if count > 0 {
                    error!("a second signal: ending the process at once");
                    process::exit(1);
                }
                info!("asked to stop");
                stop.ask(Instant::now() + settle_time);
                // Where the supervisor isn't listening yet, the stop says the same.
                let _ = events.try_send(Event::Signal);
            }
        })
    }

    fn spawn_http(&self, threads: &mut Threads) -> Result<Option<Arc<HttpServer>>, Failure> {
        let metrics = &self.config.metrics;
        if !metrics.enabled {
            return Ok(None);
        }
        let address = SocketAddr::new(metrics.host, metrics.port);
        let server = HttpServer::bind(address, Arc::clone(&self.metrics), Arc::clone(&self.health))
            .map_err(|error| {
                Failure::Running(format!(
                    "can't serve metrics on {address}: {error}; set `metrics.port` to a free one"
                ))
            })?;
        info!(address:% = server.local_addr(); "serving /metrics, /health and /ready");
        let server = Arc::new(server);
        for number in 0..HANDLER_THREADS {
            let serving = Arc::clone(&server);
            threads.spawn(format!("http-{number}"), move || {
                serving.run();
                Ok(())
            })?;
        }
        Ok(Some(server))
    }

    /// The index, which may take long to build and may have to wait for MongoDB.
    fn spawn_mongodb_setup(
        &self,
        threads: &mut Threads,
        mongodb: &Arc<MongoDbHandler>,
    ) -> Result<(), Failure> {
        let mongodb = Arc::clone(mongodb);
        let stop = self.stop.clone();
        let interval = self.config.mongodb.reconnect_interval;
        threads.spawn_finite("mongodb-setup", move || {
            loop {
                match mongodb
                    .check_target()
                    .and_then(|_| mongodb.create_indexes())
                {
                    Ok(()) => return Ok(()),
                    Err(MongoDbError::Refused(why)) => return Err(Failure::MongoDbRefused(why)),
                    Err(MongoDbError::Unavailable(why)) => {
                        warn!("the index on `created_at` could not be created yet: {why}");
                    }
                }
                if stop.wait(interval) {
                    return Ok(());
                }
            }
        })
    }

    /// Beside the start, which it must not delay.
    fn spawn_dead_letter_check(&self, threads: &mut Threads) -> Result<(), Failure> {
        let config = self.config.clone();
        threads.spawn_detached(
            "dead-letter-check",
            move || match dead_letter_topic_warnings(&config) {
                Ok(warnings) => warnings.iter().for_each(|warning| warn!("{warning}")),
                Err(error) => warn!("can't look at the dead letter topic's settings: {error}"),
            },
        )
    }

    fn spawn_committer(
        &self,
        threads: &mut Threads,
        messages: Receiver<ToCommitter>,
        in_flight: &Arc<InFlight>,
        consumer: &Arc<KafkaConsumer>,
        assignment: &Arc<Assignment>,
    ) -> Result<(), Failure> {
        // One commit at a time.
        let (requests, to_commit) = bounded(1);
        let (answer, answers) = bounded(1);
        // Weak: the poller is to be the last to hold the consumer.
        let consumer = Arc::downgrade(consumer);
        let assignment = Arc::clone(assignment);
        let commit_offsets = CommitThread {
            requests: to_commit,
            answers: answer,
            commit: move |mut commits: Vec<crate::core::offsets::Commit>| {
                let consumer = consumer.upgrade()?;
                commits.retain(|commit| assignment.is_current(commit.partition, commit.epoch));
                if commits.is_empty() {
                    return None;
                }
                let started = Instant::now();
                let result = consumer.commit(&commits);
                Some(CommitAnswer {
                    commits,
                    result,
                    took: started.elapsed(),
                })
            },
        };
        threads.spawn("commit", move || {
            commit_offsets.run();
            Ok(())
        })?;
        let committer = Committer {
            messages,
            requests,
            answers,
            in_flight: Arc::clone(in_flight),
            metrics: Arc::clone(&self.metrics),
            topic: self.config.kafka.topic.clone(),
            commit_frequency: self.config.consumer.offset_commit_frequency,
            commit_interval: self.config.consumer.offset_commit_interval,
        };
        threads.spawn("committer", move || committer.run())
    }

    fn writer_context(
        &self,
        mongodb: Arc<MongoDbHandler>,
        dead_letters: Arc<DeadLetterProducer>,
        committer: Sender<ToCommitter>,
        assignment: &Arc<Assignment>,
        gate: Arc<Gate>,
    ) -> WriterContext {
        let config = &self.config;
        WriterContext {
            mongodb,
            dead_letters,
            committer,
            assignment: Arc::clone(assignment),
            gate,
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
            origin: Origin {
                topic: config.kafka.topic.clone(),
                consumer_group: config.kafka.group_id.clone(),
                instance: instance(),
            },
            idle: AtomicUsize::new(0),
            rejection_log: RateLimited::default(),
            max_attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
            redirects: config.mongodb.on_unavailable == OnUnavailable::DeadLetter,
            max_consecutive_rejections: config.consumer.max_consecutive_rejections,
            consecutive_rejections: AtomicU64::new(0),
        }
    }

    fn spawn_writers(
        &self,
        threads: &mut Threads,
        context: &Arc<WriterContext>,
    ) -> Result<Sender<crate::core::record::Batch>, Failure> {
        let count = self.config.consumer.writer_threads;
        // One batch waits for each writer, so that none has to wait for the poller.
        let (batches, to_write) = bounded(count);
        self.metrics.set_writer_threads(count);
        for number in 0..count {
            let writer = Writer {
                batches: to_write.clone(),
                context: Arc::clone(context),
            };
            threads.spawn(format!("writer-{number}"), move || writer.run())?;
        }
        Ok(batches)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is handed over to its owner here"
    )]
    fn spawn_poller(
        &self,
        threads: &mut Threads,
        consumer: Arc<KafkaConsumer>,
        writers: Arc<WriterContext>,
        in_flight: Arc<InFlight>,
        assignment: Arc<Assignment>,
        batches: Sender<crate::core::record::Batch>,
        committer: Sender<ToCommitter>,
    ) -> Result<(), Failure> {
        // One request waiting says all.
        let (brokers_down, down) = bounded(1);
        let watch = KafkaWatch {
            brokers_down: down,
            consumer: Arc::downgrade(&consumer),
            attempts: self.attempts(),
            stop: self.stop.clone(),
        };
        threads.spawn("kafka-watch", move || watch.run())?;
        let config = &self.config;
        let poller = Poller {
            consumer,
            batches,
            committer,
            brokers_down,
            writers,
            in_flight,
            assignment,
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            topic: config.kafka.topic.clone(),
            batch_size: config.consumer.batch_size,
            batch_bytes: config.consumer.batch_bytes,
            poll_timeout: config.kafka.poll_timeout,
        };
        threads.spawn(POLLER, move || poller.run())
    }

    /// Waits for the end, and sees to its order.
    fn supervise(&self, threads: &Threads, running: Running) -> Result<(), Failure> {
        let mut running = Some(running);
        let mut failure = None;
        let mut is_poller_done = false;
        loop {
            let patience = self.patience_left();
            if patience == Some(Duration::ZERO) {
                break;
            }
            let event = match patience {
                Some(patience) => self.events.1.recv_timeout(patience).ok(),
                None => self.events.1.recv().ok(),
            };
            match event {
                None => break,
                Some(Event::Signal) => self.health.set_stopping(),
                Some(Event::Failed(why)) => self.fail(&mut failure, why),
                Some(Event::Ended { thread, result }) => {
                    if thread == POLLER {
                        is_poller_done = true;
                        running.take().into_iter().for_each(Running::finish);
                    }
                    match result {
                        Ok(()) if self.stop.is_stopping() => {}
                        Ok(()) => {
                            self.health.thread_died(&thread);
                            let why = format!("thread `{thread}` ended by itself");
                            self.fail(&mut failure, Failure::Running(why));
                        }
                        Err(why) => {
                            self.health.thread_died(&thread);
                            self.fail(&mut failure, why);
                        }
                    }
                    if self.stop.is_stopping() && threads.running().is_empty() {
                        break;
                    }
                }
            }
        }
        let unfinished = threads.running();
        if !unfinished.is_empty() {
            warn!(threads:? = unfinished; "not all threads came to their end; what they hold stays \
                                          uncommitted and will be read again");
        }
        running.take().into_iter().for_each(Running::finish);
        match failure {
            Some(failure) => Err(failure),
            None if is_poller_done => Ok(()),
            None => Err(Failure::Running(
                "the consumer could not be closed in time".to_owned(),
            )),
        }
    }

    /// Until when the pipeline's threads may take for their end; `None` while nobody has asked.
    fn patience_left(&self) -> Option<Duration> {
        let settle_by = self.stop.settle_by()?;
        let patience = self.config.consumer.shutdown_timeout / 5;
        Some((settle_by + patience).saturating_duration_since(Instant::now()))
    }

    /// The first failure counts. What is settled is still committed, but nothing is waited for long.
    fn fail(&self, first: &mut Option<Failure>, why: Failure) {
        self.health.set_stopping();
        self.stop
            .ask(Instant::now() + FAILURE_SETTLE_TIME.min(settle_time(&self.config)));
        if first.is_none() {
            warn!("stopping, because of a failure: {why}");
            *first = Some(why);
        } else {
            warn!("then: {why}");
        }
    }
}

/// What the supervisor ends itself, after the poller: the committer ends once no dead letter can come
/// any more.
struct Running {
    dead_letters: Arc<DeadLetterProducer>,
    http: Option<Arc<HttpServer>>,
}

impl Running {
    fn finish(self) {
        // Where the poller ended in order, it waited for the reports; this is for where it didn't.
        if self.dead_letters.flush(LAST_FLUSH).is_err() {
            warn!("dead letters are still under way; their records stay uncommitted");
        }
        if let Some(http) = self.http {
            http.stop();
        }
    }
}

const LAST_FLUSH: Duration = Duration::from_millis(500);

const POLLER: &str = "poller";

/// After a failure: what is on its way may still be settled.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// Of a stop's time, what settling may take; the rest is for committing and leaving the group.
pub(super) fn settle_time(config: &Config) -> Duration {
    config.consumer.shutdown_timeout * 7 / 10
}

/// This process among the group's, for a dead letter's header.
pub(super) fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}-{}",
        if host.is_empty() { "unknown" } else { host },
        process::id()
    )
}
