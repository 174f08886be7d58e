//! The consumer of the specification: connects, and runs until told to stop.

use std::sync::Arc;
use std::time::Instant;

use backoff::backoff::Backoff as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info, warn};

use super::batch_write::delays;
use super::failure::Failure;
use super::gate::Gate;
use super::memory;
use super::messages::Event;
use super::stop::StopSignal;
use super::threads::Threads;
use super::watch::{Attempts, reach_kafka};
use crate::config::{Config, W};
use crate::core::assignment::Assignment;
use crate::core::rejection::Reason;
use crate::kafka::{GroupEvents, KafkaConsumer, TopicState};
use crate::mongo::{MongoDbError, MongoDbHandler, Topology};
use crate::observe::health::Health;
use crate::observe::metrics::ConnectionTarget;
use crate::observe::metrics::MetricsCollector;

/// Events to the supervisor: each thread ends once, and of failures the first few say enough.
const EVENT_QUEUE: usize = 64;

/// The consumer of the specification: takes messages off the topic and stores them, until told to stop.
pub struct DataConsumer {
    pub(super) config: Config,
    pub(super) metrics: Arc<MetricsCollector>,
    pub(super) health: Arc<Health>,
    pub(super) stop: StopSignal,
    pub(super) events: (Sender<Event>, Receiver<Event>),
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
            Some(running) => self.supervise(&mut threads, running),
            // The stop came while connecting: there is nothing to settle.
            None => Ok(()),
        });
        match &outcome {
            Ok(()) => info!("stopped as asked"),
            Err(failure) => error!("stopped: {failure}"),
        }
        outcome
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
        let Some(topic) = reach_kafka(&consumer, self.attempts(), &self.stop, || {
            consumer.serve_log();
        })?
        else {
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

    pub(super) fn attempts(&self) -> Attempts {
        let consumer = &self.config.consumer;
        Attempts {
            count: consumer.max_retries,
            first_delay: consumer.retry_backoff,
        }
    }
}
