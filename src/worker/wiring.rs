//! Connects, gives each part what it needs, and starts each thread.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, bounded};
use log::{info, warn};

use super::data_consumer::DataConsumer;
use super::observer::WorkerObserver;
use super::reload::Reloader;
use super::supervisor::{POLLER, Running};
use super::systemd::{self, SystemdNotifier};
use crate::commit::{self, CommitterHandle, CommitterSettings, Dispatcher, Ownership};
use crate::config::OnUnavailable;
use crate::control::{ControlServer, ControlSocket};
use crate::core::availability::OutagePolicy;
use crate::core::batch_limit::BatchRange;
use crate::core::leader_watch::LeaderWatch;
use crate::core::time_limits::RevokeBudget;
use crate::failure::Failure;
use crate::intake::{KafkaWatch, LEADERLESS_BOUND, Poller, PollerSettings, RebalanceHandler};
use crate::kafka::{Assignment, GroupOffsets, KafkaConsumer, dead_letter_topic_warning};
use crate::mongo::MongoDbHandler;
use crate::observe::http::HttpServer;
use crate::runtime::{Threads, open_files_limit};
use crate::store::{
    BatchLimit, DeadLetters, FloodGuard, MongoDbInserter, OutageTracker, Stage, WriterPool,
    consumer_identity, dead_letter_producer, spawn_report_pollers,
};

impl DataConsumer {
    /// Connects, and starts every further thread. `None` if the stop came first. `hangups`: where each wish for a reload arrives.
    pub(super) fn start(
        &self,
        threads: &mut Threads,
        hangups: Receiver<()>,
    ) -> Result<Option<Running>, Failure> {
        if self.stop.is_stopping() {
            return Ok(None);
        }
        self.spawn_systemd(threads)?;
        let http = self.spawn_http(threads)?;
        let control = self.spawn_control(threads)?;

        let identity = consumer_identity(&self.config);
        self.metrics.set_info(
            &identity.consumer_group,
            &identity.topic,
            &identity.instance,
        );
        let observer = Arc::new(WorkerObserver {
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            board: Arc::clone(&self.board),
            topic: self.config.kafka.topic.clone(),
            inserts: AtomicUsize::new(0),
            read_backs: AtomicUsize::new(0),
            is_collection_prepared: AtomicBool::new(false),
            stalled: Mutex::default(),
        });
        let outage = self.outage(&observer);
        let flood = Arc::new(FloodGuard::new(&self.config.consumer, self.pause.clone()));
        let assignment = Arc::new(Assignment::default());
        let (committer, messages) = CommitterHandle::channel();

        let rebalance = self.rebalance_handler(&committer, &assignment, &outage, &flood);
        let Some(consumer) = self.connect_kafka(threads, &assignment, Arc::new(rebalance))? else {
            return Ok(None);
        };
        let Some(mongodb) = self.connect_mongodb(threads, &outage)? else {
            return Ok(None);
        };
        self.spawn_mongodb_setup(threads, &mongodb, &outage)?;
        self.spawn_dead_letter_check(threads)?;
        let dead_letters = dead_letter_producer(&self.config)?;
        spawn_report_pollers(threads, &dead_letters)?;

        let ownership = Ownership::Assigned(Arc::clone(&assignment));
        let dispatcher = commit::start(
            threads,
            committer.clone(),
            messages,
            CommitterSettings {
                repeats_at_drain: flood.is_on(),
                ..CommitterSettings::new(&self.config.consumer, self.pause.clone())
            },
            ownership.clone(),
            GroupOffsets::new(&consumer, Arc::clone(&flood) as Arc<_>),
            Arc::clone(&observer) as Arc<_>,
        )?;
        let outage_for_replay = Arc::new(outage.waiting());
        let stage = Stage {
            dead_letters: DeadLetters::new(
                Arc::clone(&dead_letters) as Arc<_>,
                identity,
                &self.config.kafka.dead_letter_topic,
                self.events.clone(),
            ),
            outage,
            flood,
            ownership,
            stop: self.stop.clone(),
            observer,
            batch_limit: Arc::new(BatchLimit::new(BatchRange {
                least: self.config.consumer.batch_size,
                most: self.config.consumer.max_batch_size,
            })),
            rules: Arc::clone(&self.config.message.rules),
            max_attempts: self.config.consumer.max_retries,
            retry_backoff: self.config.consumer.retry_backoff,
            yielding: None,
        };
        let pool = self.start_writers(threads, stage, dispatcher, &mongodb)?;
        self.spawn_poller(threads, consumer, pool, committer, assignment)?;
        if self.config.mongodb.replay_after_outage {
            self.start_outage_replay(threads, &dead_letters, &outage_for_replay, &mongodb)?;
        }
        self.spawn_reloader(threads, hangups)?;
        Ok(Some(Running {
            dead_letters,
            http,
            control,
        }))
    }

    fn outage(&self, observer: &Arc<WorkerObserver>) -> Arc<OutageTracker> {
        let mongodb = &self.config.mongodb;
        let policy = match mongodb.on_unavailable {
            OnUnavailable::DeadLetter => OutagePolicy::Redirect,
            OnUnavailable::Pause => OutagePolicy::Wait,
        };
        Arc::new(OutageTracker::new(
            mongodb.reconnect_interval,
            policy,
            Arc::clone(observer) as Arc<_>,
        ))
    }

    fn rebalance_handler(
        &self,
        committer: &CommitterHandle,
        assignment: &Arc<Assignment>,
        outage: &Arc<OutageTracker>,
        flood: &Arc<FloodGuard>,
    ) -> RebalanceHandler {
        RebalanceHandler {
            committer: committer.clone(),
            events: self.events.clone(),
            assignment: Arc::clone(assignment),
            outage: Arc::clone(outage),
            flood: Arc::clone(flood),
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
            losses: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            budget: RevokeBudget::new(
                self.config.kafka.max_poll_interval,
                self.config.consumer.shutdown_timeout,
            ),
            leaders: Mutex::new(LeaderWatch::new(LEADERLESS_BOUND)),
            topic: self.config.kafka.topic.clone(),
        }
    }

    fn spawn_http(&self, threads: &mut Threads) -> Result<Option<Arc<HttpServer>>, Failure> {
        let metrics = &self.config.metrics;
        if !metrics.enabled {
            return Ok(None);
        }
        let address = SocketAddr::new(metrics.host, metrics.port);
        let server = HttpServer::bind(address, open_files_limit(), Arc::clone(&self.board))
            .map_err(|error| {
                let advice = match error.kind() {
                    ErrorKind::AddrInUse => "; set `metrics.port` to a free one",
                    ErrorKind::AddrNotAvailable => {
                        "; set `metrics.host` to an address of this host, or to `0.0.0.0` for all of them"
                    }
                    ErrorKind::PermissionDenied => "; set `metrics.port` to 1024 or more",
                    _ => "",
                };
                Failure::running(format!("can't serve metrics on {address}: {error}{advice}"))
            })?;
        info!(address:% = server.local_addr(); "serving /metrics, /health, /ready, /status and the page at /");
        let server = Arc::new(server);
        let (port, answers) = (Arc::clone(&server), Arc::clone(&server));
        threads.spawn("http-port", move || {
            port.serve();
            Ok(())
        })?;
        threads.spawn("http-answers", move || {
            answers.answer();
            Ok(())
        })?;
        Ok(Some(server))
    }

    fn spawn_systemd(&self, threads: &mut Threads) -> Result<(), Failure> {
        if !systemd::is_asked_for() {
            return Ok(());
        }
        let notifier = SystemdNotifier {
            board: Arc::clone(&self.board),
            health: Arc::clone(&self.health),
            has_started: Arc::clone(&self.has_started),
            stop: self.stop.clone(),
            restart: self.restart.clone(),
        };
        // It tells of the stop as well, so that nobody waits for its end.
        threads.spawn_detached("systemd", move || notifier.run())
    }

    fn spawn_reloader(&self, threads: &mut Threads, hangups: Receiver<()>) -> Result<(), Failure> {
        let reloader = Reloader {
            config_file: self.config_file.clone(),
            config: self.config.clone(),
            known: self.files.clone(),
            hangups,
            restart: self.restart.clone(),
            stop: self.stop.clone(),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        // It may wait for a server when the worker stops.
        threads.spawn_detached("reload", move || reloader.run())
    }

    /// Answers on the control socket, if there is one.
    fn spawn_control(&self, threads: &mut Threads) -> Result<Option<ControlSocket>, Failure> {
        let Some(path) = self.config.control.socket() else {
            return Ok(None);
        };
        let (server, socket) = ControlServer::bind(
            path,
            Arc::clone(&self.board),
            self.pause.clone(),
            self.stop.clone(),
        )
        .map_err(|error| {
            let path = path.display();
            Failure::running(format!("can't listen on `control.socket`, {path}")).because(error)
        })?;
        // It may wait for a client when the worker stops.
        threads.spawn_detached("control", move || server.run())?;
        info!(path:% = path.display(); "answering on the control socket");
        Ok(Some(socket))
    }

    /// Checks the dead letter topic's settings on a thread of its own, so that the start doesn't wait for it.
    fn spawn_dead_letter_check(&self, threads: &mut Threads) -> Result<(), Failure> {
        let config = self.config.clone();
        threads.spawn_detached(
            "dead-letter-check",
            move || match dead_letter_topic_warning(&config) {
                Ok(Some(warning)) => warn!("{warning}"),
                Ok(None) => {}
                Err(error) => warn!("can't look at the dead letter topic's settings: {error}"),
            },
        )
    }

    fn start_writers(
        &self,
        threads: &mut Threads,
        stage: Stage,
        dispatcher: Dispatcher,
        mongodb: &Arc<MongoDbHandler>,
    ) -> Result<WriterPool, Failure> {
        let writers = self.config.consumer.writer_threads;
        self.metrics.set_writer_threads(writers);
        WriterPool::start(threads, "writer", writers, stage, dispatcher, || {
            Box::new(MongoDbInserter::new(Arc::clone(mongodb)))
        })
    }

    fn spawn_poller(
        &self,
        threads: &mut Threads,
        consumer: Arc<KafkaConsumer>,
        pool: WriterPool,
        committer: CommitterHandle,
        assignment: Arc<Assignment>,
    ) -> Result<(), Failure> {
        // One waiting request is enough: a second one would ask the same.
        let (brokers_down, down) = bounded(1);
        let watch = KafkaWatch {
            brokers_down: down,
            consumer: Arc::downgrade(&consumer),
            attempts: self.attempts(),
            stop: self.stop.clone(),
        };
        threads.spawn("kafka-watch", move || watch.run())?;
        let config = &self.config;
        let settings = PollerSettings {
            topic: config.kafka.topic.clone(),
            group: config.kafka.group_id.clone(),
            letters: None,
            batch_size: config.consumer.batch_size,
            batch_bytes: config.consumer.batch_bytes,
            poll_timeout: config.kafka.poll_timeout,
        };
        let poller = Poller::new(
            consumer,
            pool,
            committer,
            assignment,
            self.events.clone(),
            self.stop.clone(),
            Arc::clone(&self.metrics),
            Arc::clone(&self.metrics),
            Arc::clone(&self.health),
            self.pause.clone(),
            brokers_down,
            settings,
        );
        threads.spawn(POLLER, move || poller.run())
    }
}
