//! Whether MongoDB takes writes, shared by all writers; with the log lines and the observer's view of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{error, info};

use super::observer::StoreObserver;
use crate::core::availability::{Availability, OutagePolicy, Permit};

/// Behind a lock, because a writer needs permission before each insert, and only one may probe.
pub struct MongoDbOutage {
    state: Mutex<State>,
    policy: OutagePolicy,
    observer: Arc<dyn StoreObserver>,
}

struct State {
    availability: Availability,
    /// Records sent to the dead letter topic during this outage.
    redirected: usize,
    /// Why the last outage began.
    cause: String,
}

impl MongoDbOutage {
    pub fn new(
        reconnect_interval: Duration,
        policy: OutagePolicy,
        observer: Arc<dyn StoreObserver>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                availability: Availability::new(reconnect_interval, policy),
                redirected: 0,
                cause: String::new(),
            }),
            policy,
            observer,
        }
    }

    pub fn policy(&self) -> OutagePolicy {
        self.policy
    }

    pub fn is_available(&self) -> bool {
        self.state().availability.is_available()
    }

    /// Whether records wait for MongoDB now, however long that takes.
    pub fn makes_records_wait(&self) -> bool {
        self.policy == OutagePolicy::Wait && !self.is_available()
    }

    /// Why MongoDB became unavailable; fit for a log line.
    pub fn cause(&self) -> String {
        self.state().cause.clone()
    }

    pub fn permit(&self) -> Permit {
        self.state().availability.permit(Instant::now())
    }

    pub fn succeeded(&self) {
        let mut state = self.state();
        let Some(outage) = state.availability.succeeded(Instant::now()) else {
            return;
        };
        let redirected = std::mem::take(&mut state.redirected);
        drop(state);
        self.report(true);
        info!(redirected, seconds = outage.lasted.as_secs_f64();
            "MongoDB is available again");
    }

    /// The attempts were used up, or a probe failed. `why` is fit for a log line.
    pub fn failed(&self, why: &str) {
        let mut state = self.state();
        if !state.availability.failed(Instant::now()) {
            return;
        }
        why.clone_into(&mut state.cause);
        drop(state);
        self.report(false);
        let consequence = match self.policy {
            OutagePolicy::Redirect => {
                "messages are redirected to the dead letter topic until it is back"
            }
            OutagePolicy::Wait => "messages wait, and consumption pauses, until it is back",
            OutagePolicy::Stop => "stopping",
        };
        error!("MongoDB is unavailable: {consequence}: {why}");
    }

    /// A probe ended without a result.
    pub fn probe_ended(&self) {
        self.state().availability.probe_ended(Instant::now());
    }

    pub fn count_redirected(&self, records: usize) {
        self.state().redirected += records;
    }

    /// Tells the observer whether MongoDB takes writes.
    pub fn report(&self, available: bool) {
        self.observer.mongodb_available(available);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
