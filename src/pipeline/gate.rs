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
    /// What the log says that an outage means.
    what_now: &'static str,
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
            what_now: match on_unavailable {
                OnUnavailable::DeadLetter => {
                    "messages are redirected to the dead letter topic until it is back"
                }
                OnUnavailable::Pause => "messages wait, and consumption pauses, until it is back",
            },
            redirected: AtomicU64::new(0),
            metrics,
            health,
        }
    }

    /// For one that doesn't wait: it stops at the first outage.
    #[must_use]
    pub fn stopping(metrics: Arc<MetricsCollector>, health: Arc<Health>) -> Self {
        Self {
            what_now: "stopping",
            // No probe is due before the end.
            ..Self::new(
                Duration::from_secs(86_400),
                OnUnavailable::Pause,
                metrics,
                health,
            )
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

    /// The attempts were used up, or a probe brought no success. `why` is fit for the log.
    pub fn failed(&self, why: &str) {
        if self.lock().failed(Instant::now()) {
            self.show(false);
            error!("MongoDB is unavailable: {}: {why}", self.what_now);
        }
    }

    /// The probe ended without an answer either way.
    pub fn probe_ended(&self) {
        self.lock().probe_ended(Instant::now());
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
