//! Back pressure: waits until the writers have room, and pauses consumption if that takes seconds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, info, warn};

use crate::core::batching::is_pause_worth_it;
use crate::kafka::KafkaConsumer;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;
use crate::store::WriterPool;

/// The longest single wait for room. Between two waits the poller polls, because the group removes a member that
/// doesn't.
pub const ROOM_WAIT: Duration = Duration::from_millis(100);

/// The usual cause of a pause.
pub const BUSY_WRITERS: &str = "the writers have been busy for seconds";

const TRYING_AGAIN: &str = "consumption can't be paused or resumed, trying again";

pub struct BackPressure {
    metrics: Arc<MetricsCollector>,
    topic: String,
    /// Since when a full batch has waited for room.
    since: Option<Instant>,
    /// When the consumer was last polled while a full batch waited.
    last_poll_at: Instant,
    is_paused: bool,
    warnings: RateLimited,
}

impl BackPressure {
    pub fn new(metrics: Arc<MetricsCollector>, topic: String, now: Instant) -> Self {
        Self {
            metrics,
            topic,
            since: None,
            last_poll_at: now,
            is_paused: false,
            warnings: RateLimited::new(Level::Warn, TRYING_AGAIN),
        }
    }

    /// Waits for room for the full batch. Returns whether it is time to poll, so that the group keeps this member.
    /// Not every wait is followed by a poll, because each poll may bring a message that has to wait too.
    pub fn wait_for_room(&mut self, pool: &WriterPool, consumer: &KafkaConsumer) -> bool {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if is_pause_worth_it(now.duration_since(since)) {
            self.pause(consumer, BUSY_WRITERS);
        }
        pool.wait_for_room(ROOM_WAIT);
        let now = Instant::now();
        if now.duration_since(self.last_poll_at) < ROOM_WAIT {
            return false;
        }
        self.last_poll_at = now;
        true
    }

    /// No full batch waits any more: resumes consumption if it was paused.
    pub fn end(&mut self, consumer: &KafkaConsumer) {
        self.since = None;
        if self.is_paused {
            match consumer.resume() {
                Ok(()) => {
                    self.is_paused = false;
                    self.metrics.set_paused(false);
                    info!(topic = self.topic; "consumption resumed");
                }
                Err(error) => self.warn(format_args!("{error}")),
            }
        }
    }

    /// It is tried again at every turn of the poll loop.
    fn warn(&self, what: fmt::Arguments<'_>) {
        if let Some(suppressed) = self.warnings.admit(Instant::now()) {
            warn!(suppressed; "{TRYING_AGAIN}: {what}");
        }
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    pub fn pause(&mut self, consumer: &KafkaConsumer, why: &str) {
        if self.is_paused {
            return;
        }
        match consumer.pause() {
            Ok(()) => {
                self.is_paused = true;
                self.metrics.set_paused(true);
                info!(topic = self.topic; "consumption paused: {why}");
            }
            Err(error) => self.warn(format_args!("{error}")),
        }
    }
}
