//! Who gets what: makes the channels, and starts each thread with its ends of them.

use std::net::SocketAddr;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{info, warn};

use super::committer::{CommitThread, Committer};
use super::data_consumer::DataConsumer;
use super::delivery::DeliveryReports;
use super::failure::Failure;
use super::gate::Gate;
use super::group::{Group, RevokeBudget};
use super::in_flight::InFlight;
use super::messages::{CommitAnswer, ToCommitter};
use super::poller::Poller;
use super::supervisor::{POLLER, Running};
use super::threads::Threads;
use super::wake_up::WakeUp;
use super::watch::KafkaWatch;
use super::writer::{Writer, WriterContext};
use crate::config::OnUnavailable;
use crate::core::assignment::Assignment;
use crate::core::dead_letter::ConsumerIdentity;
use crate::kafka::{DeadLetterProducer, DeliveryEvents, KafkaConsumer, dead_letter_topic_warnings};
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::observe::http::{HANDLER_THREADS, HttpServer};
use crate::observe::log::RateLimited;

/// Messages to the committer that may wait: a few for each batch and dead letter in flight. It never
/// waits for anyone, so a full channel only slows those down who settle.
const COMMITTER_QUEUE: usize = 4096;
impl DataConsumer {
    /// Connects, and starts every thread. `None` when the stop came first.
    pub(super) fn start(&self, threads: &mut Threads) -> Result<Option<Running>, Failure> {
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
        threads.spawn_reports(&dead_letters)?;

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
            identity: ConsumerIdentity {
                topic: config.kafka.topic.clone(),
                consumer_group: config.kafka.group_id.clone(),
                instance: instance(),
            },
            idle: AtomicUsize::new(0),
            queue_room: WakeUp::default(),
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
