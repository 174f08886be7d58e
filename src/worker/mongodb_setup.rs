//! Prepares the collection beside the start: checks it, and creates its indexes. Until it is checked and has its unique
//! indexes, messages wait.

use std::sync::Arc;

use log::warn;

use super::data_consumer::DataConsumer;
use crate::core::availability::OutageCause;
use crate::failure::Failure;
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::runtime::{Delays, RetryError, Threads, retry};
use crate::store::OutageTracker;

impl DataConsumer {
    /// The thread tries until all is done. Building indexes may take long, and may have to wait for MongoDB.
    pub(super) fn spawn_mongodb_setup(
        &self,
        threads: &mut Threads,
        mongodb: &Arc<MongoDbHandler>,
        outage: &Arc<OutageTracker>,
    ) -> Result<(), Failure> {
        let mut setup = MongoDbSetup {
            mongodb: Arc::clone(mongodb),
            outage: Arc::clone(outage),
            max_attempts: self.config.consumer.max_retries,
            attempts_without_answer: 0,
            last_cause: String::new(),
        };
        let stop = self.stop.clone();
        let delays = Delays::constant(self.config.mongodb.reconnect_interval);
        threads.spawn_finite("mongodb-setup", move || {
            retry(&stop, delays, || {}, |_| setup.attempt()).map(drop)
        })
    }
}

struct MongoDbSetup {
    mongodb: Arc<MongoDbHandler>,
    outage: Arc<OutageTracker>,
    /// After so many attempts without an answer, MongoDB counts as unavailable.
    max_attempts: u32,
    attempts_without_answer: u32,
    /// The last cause that was logged.
    last_cause: String,
}

impl MongoDbSetup {
    fn attempt(&mut self) -> Result<(), RetryError<Failure>> {
        self.prepare().map_err(|error| match error {
            MongoDbError::Refused(why) => {
                RetryError::Final(Failure::mongodb_refused().because(why))
            }
            MongoDbError::Unavailable(why) => {
                // A cause is logged again only after another one.
                if self.last_cause != why {
                    warn!("the collection could not be prepared yet: {why}");
                    self.last_cause = why;
                }
                RetryError::Again
            }
        })
    }

    fn prepare(&mut self) -> Result<(), MongoDbError> {
        if !self.outage.is_collection_prepared() {
            self.check()?;
            self.mongodb.create_unique_indexes()?;
            self.outage.collection_prepared();
        }
        self.mongodb.create_indexes()
    }

    /// Nobody writes yet, so this also finds out whether MongoDB is available.
    fn check(&mut self) -> Result<(), MongoDbError> {
        let checked = self.mongodb.check_target().map(drop);
        match &checked {
            Ok(()) => {
                self.attempts_without_answer = 0;
                self.outage.ping_succeeded();
            }
            // A server that answers may be unable to do more for a while; then messages wait.
            Err(MongoDbError::Unavailable(why)) if self.mongodb.probe().is_err() => {
                self.attempts_without_answer += 1;
                if self.attempts_without_answer >= self.max_attempts {
                    self.outage.failed(OutageCause::NoAnswer, why);
                }
            }
            Err(_) => self.attempts_without_answer = 0,
        }
        checked
    }
}
