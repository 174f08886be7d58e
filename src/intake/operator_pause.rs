//! An operator's pause, as the poller obeys it.

use std::sync::Arc;

use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;
use crate::runtime::PauseSwitch;

const BY_OPERATOR: &str = "an operator ordered it";
const BY_FLOOD: &str = "too many messages are rejected";

pub struct OperatorPause {
    ordered: PauseSwitch,
    is_obeyed: bool,
    metrics: Arc<MetricsCollector>,
    health: Arc<Health>,
}

impl OperatorPause {
    pub fn new(ordered: PauseSwitch, metrics: Arc<MetricsCollector>, health: Arc<Health>) -> Self {
        Self {
            ordered,
            is_obeyed: false,
            metrics,
            health,
        }
    }

    /// Whether a pause, or its end, is ordered and not obeyed yet.
    pub fn has_new_order(&self) -> bool {
        self.ordered.is_on() != self.is_obeyed
    }

    /// Whether consumption is to rest.
    pub fn is_on(&self) -> bool {
        self.is_obeyed
    }

    /// Who ordered the rest, for the log.
    pub fn why(&self) -> &'static str {
        let is_flood = self.ordered.pause().is_some_and(|pause| pause.is_flood);
        if is_flood { BY_FLOOD } else { BY_OPERATOR }
    }

    /// Obeys from now on, and shows it.
    pub fn obey(&mut self) {
        let pause = self.ordered.pause();
        self.is_obeyed = pause.is_some();
        let is_flood = pause.as_ref().is_some_and(|pause| pause.is_flood);
        self.metrics
            .set_paused_by_operator(self.is_obeyed && !is_flood);
        self.metrics.set_paused_by_flood(is_flood);
        self.health.set_pause(pause);
    }
}
