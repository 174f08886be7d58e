//! Prepares the collection beside the start: checks it, and creates its indexes. Until it is checked and has its unique
//! indexes, messages wait.

use std::sync::Arc;
use std::time::Duration;

use log::warn;

use super::data_consumer::DataConsumer;
use crate::core::availability::OutageCause;
use crate::failure::Failure;
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::runtime::{Delays, RetryError, StopSignal, Threads, retry};
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
            stop: self.stop.clone(),
            max_attempts: self.config.consumer.max_retries,
            retry_backoff: self.config.consumer.retry_backoff,
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
    stop: StopSignal,
    /// After so many failed checks, MongoDB counts as unavailable.
    max_attempts: u32,
    /// The wait before the second one.
    retry_backoff: Duration,
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
                    if self.outage.is_collection_prepared() {
                        warn!("the indexes could not be created yet: {why}");
                    } else {
                        warn!("the collection could not be prepared yet: {why}");
                    }
                    self.last_cause = why;
                }
                RetryError::Again
            }
        })
    }

    fn prepare(&self) -> Result<(), MongoDbError> {
        if !self.outage.is_collection_prepared() {
            self.check()?;
            self.outage.ping_succeeded();
            self.mongodb.create_unique_indexes()?;
            self.outage.collection_prepared();
        }
        self.mongodb.create_indexes()
    }

    /// Nobody writes yet, so this also finds out whether MongoDB is available, as the writers do later.
    fn check(&self) -> Result<(), MongoDbError> {
        let mut delays = Delays::doubling(self.retry_backoff);
        let mut attempt = 1;
        loop {
            let why = match self.mongodb.check_target() {
                Ok(_) => return Ok(()),
                Err(error @ MongoDbError::Refused(_)) => return Err(error),
                Err(MongoDbError::Unavailable(why)) => why,
            };
            if attempt >= self.max_attempts {
                self.outage.failed(OutageCause::NoAnswer, &why);
            }
            let is_outage = !self.outage.is_available();
            if is_outage || self.stop.wait(delays.next_delay()) {
                return Err(MongoDbError::Unavailable(why));
            }
            attempt += 1;
        }
    }
}
