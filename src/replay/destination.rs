//! Where replayed dead letters and the messages of a repair go: into MongoDB by the writers, or to a topic.

use std::sync::Arc;
use std::time::Duration;

use super::publisher::Publisher;
use crate::commit::{Dispatcher, Ownership};
use crate::config::Config;
use crate::core::availability::OutagePolicy;
use crate::core::batch_limit::BatchRange;
use crate::core::record::Batch;
use crate::failure::Failure;
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::runtime::{ProcessEvents, StopSignal, Threads};
use crate::store::{
    BatchLimit, DeadLetters, FloodGuard, MongoDbInserter, OutageTracker, Stage, StoreObserver,
    WriterPool, consumer_identity, dead_letter_producer, spawn_report_pollers,
};

pub(super) enum Destination {
    MongoDb {
        pool: WriterPool,
        outage: Arc<OutageTracker>,
        purpose: Purpose,
    },
    Topic(Publisher),
}

/// What is brought into MongoDB, for the words of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Replay,
    Repair,
}

impl Purpose {
    fn nothing_was_done(self) -> &'static str {
        match self {
            Self::Replay => "nothing was replayed",
            Self::Repair => "nothing was repaired",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Replay => {
                "what isn't replayed yet waits in the dead letter topic: run the same command again when \
                 MongoDB is back"
            }
            Self::Repair => {
                "what isn't repaired yet is still in the topic: run the same command again when MongoDB is \
                 back"
            }
        }
    }
}

/// Ignores what the writers report: a replay doesn't show it.
struct Unobserved;

impl StoreObserver for Unobserved {}

impl Destination {
    /// The workers' write path, with writers of its own. An outage ends the replay or the repair, since everything
    /// that it has in flight is in Kafka, and can be read again.
    pub(super) fn mongodb(
        config: &Config,
        purpose: Purpose,
        threads: &mut Threads,
        dispatcher: Dispatcher,
        events: ProcessEvents,
        stop: StopSignal,
    ) -> Result<Self, Failure> {
        let mongodb = Arc::new(connect(config, purpose)?);
        let outage = Arc::new(OutageTracker::new(
            config.mongodb.reconnect_interval,
            OutagePolicy::Stop,
            Arc::new(Unobserved),
        ));
        outage.collection_prepared();
        let producer = dead_letter_producer(config)?;
        spawn_report_pollers(threads, &producer)?;
        let dead_letters = DeadLetters::new(
            producer,
            consumer_identity(config),
            &config.kafka.dead_letter_topic,
            events,
        );
        let stage = Stage {
            dead_letters,
            outage: Arc::clone(&outage),
            // Every letter was rejected before, and so was every message whose dead letter is gone: all of them may be
            // rejected again.
            flood: Arc::new(FloodGuard::off()),
            ownership: Ownership::Exclusive,
            stop,
            observer: Arc::new(Unobserved),
            // A replay's batches don't grow.
            batch_limit: Arc::new(BatchLimit::new(BatchRange {
                least: config.consumer.batch_size,
                most: config.consumer.batch_size,
            })),
            rules: Arc::clone(&config.message.rules),
            max_attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
            yielding: None,
        };
        let writers = config.consumer.writer_threads;
        let pool = WriterPool::start(threads, "writer", writers, stage, dispatcher, || {
            Box::new(MongoDbInserter::new(Arc::clone(&mongodb)))
        })?;
        Ok(Self::MongoDb {
            pool,
            outage,
            purpose,
        })
    }

    /// Takes a batch, or gives it back if there is no room for it. Never waits.
    pub(super) fn offer(&mut self, batch: Batch) -> Result<(), Batch> {
        match self {
            Self::MongoDb { pool, .. } => pool.offer(batch),
            Self::Topic(publisher) => publisher.offer(batch),
        }
    }

    /// Goes on with a batch that was taken but not yet sent as a whole. Fails when the destination takes nothing any
    /// more.
    pub(super) fn advance(&mut self) -> Result<(), Failure> {
        match self {
            Self::MongoDb {
                outage, purpose, ..
            } if outage.is_certainly_unavailable() => {
                let why = format!("{}; {}", outage.cause(), purpose.advice());
                Err(Failure::mongodb_unreachable().because(why))
            }
            Self::MongoDb { .. } => Ok(()),
            Self::Topic(publisher) => publisher.advance(),
        }
    }

    /// Waits until something is settled or there is room again, up to `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        match self {
            Self::MongoDb { pool, .. } => pool.wait_for_room(timeout),
            Self::Topic(publisher) => publisher.wait(timeout),
        }
    }

    /// The number of records that were handed over and are not settled yet.
    pub(super) fn in_flight(&self) -> usize {
        match self {
            Self::MongoDb { pool, .. } => pool.in_flight().messages,
            Self::Topic(publisher) => publisher.in_flight().messages,
        }
    }
}

/// Fails if MongoDB can't be used, or a unique index is missing. The workers create it; what it forbids must not be stored
/// before.
fn connect(config: &Config, purpose: Purpose) -> Result<MongoDbHandler, Failure> {
    let checked = MongoDbHandler::connect(config).and_then(|mongodb| {
        mongodb.check_target()?;
        mongodb.check_unique_indexes()?;
        Ok(mongodb)
    });
    checked.map_err(|error| match error {
        MongoDbError::Refused(why) => Failure::mongodb_refused().because(why),
        MongoDbError::Unavailable(why) => {
            let done = purpose.nothing_was_done();
            Failure::mongodb_unreachable().because(format!("{why}; {done}"))
        }
    })
}
