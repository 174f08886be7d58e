//! The state of MongoDB as all writers share it, with what is said and shown of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{error, info};

use crate::config::OnUnavailable;
use crate::core::availability::{Availability, Permit};
use crate::observe::health::Health;
use crate::observe::metrics::{ConnectionTarget, MetricsCollector};

/// Whether MongoDB may be written to. Under a lock, since a writer needs its leave before each insert,
/// and only one of them may probe.
pub struct Gate {
    availability: Mutex<Availability>,
    on_unavailable: OnUnavailable,
    redirected: AtomicU64,
    metrics: Arc<MetricsCollector>,
    health: Arc<Health>,
}

impl Gate {
    #[must_use]
    pub fn new(
        reconnect_interval: Duration,
        on_unavailable: OnUnavailable,
        metrics: Arc<MetricsCollector>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            availability: Mutex::new(Availability::new(reconnect_interval)),
            on_unavailable,
            redirected: AtomicU64::new(0),
            metrics,
            health,
        }
    }

    #[must_use]
    pub fn is_available(&self) -> bool {
        self.lock().is_available()
    }

    /// Whether records wait for MongoDB however long that takes.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.on_unavailable == OnUnavailable::Pause && !self.is_available()
    }

    #[must_use]
    pub fn permit(&self) -> Permit {
        self.lock().permit(Instant::now())
    }

    pub fn succeeded(&self) {
        if let Some(outage) = self.lock().succeeded(Instant::now()) {
            let redirected = self.redirected.swap(0, Ordering::Relaxed);
            self.show(true);
            info!(redirected, seconds = outage.lasted.as_secs_f64();
                "MongoDB is available again");
        }
    }

    /// The attempts were used up, or a probe failed. `why` may be the driver's text.
    pub fn failed(&self, why: &str) {
        if self.lock().failed(Instant::now()) {
            self.show(false);
            let what_now = match self.on_unavailable {
                OnUnavailable::DeadLetter => "messages are redirected to the dead letter topic",
                OnUnavailable::Pause => "messages wait, and consumption pauses",
            };
            error!("MongoDB is unavailable: {what_now} until it is back: {why}");
        }
    }

    pub fn count_redirected(&self, messages: u64) {
        self.redirected.fetch_add(messages, Ordering::Relaxed);
    }

    /// Shows on metrics and health whether MongoDB takes writes.
    pub fn show(&self, available: bool) {
        self.metrics
            .set_connected(ConnectionTarget::Mongodb, available);
        self.metrics.set_mongodb_available(available);
        self.health.set_mongodb_available(available);
    }

    fn lock(&self) -> MutexGuard<'_, Availability> {
        self.availability
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
