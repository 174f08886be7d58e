//! Creates metrics and registers them; the buckets of the histograms.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// Records per batch.
pub(super) const SIZE_BUCKETS: [f64; 16] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5,
];

/// Seconds, from the fastest write to one that waits for the end of an outage.
pub(super) const TIME_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Seconds from a message's timestamp until it is stored, up to the hours of a backlog.
pub(super) const DELAY_BUCKETS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    7200.0,
];

/// Creates metrics and registers them. Every name is a literal in this crate. A refused name is therefore
/// a bug, which any test finds; it panics.
pub(super) struct Registrar<'a>(pub(super) &'a Registry);

impl Registrar<'_> {
    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn counter_by(&self, name: &str, label: &str, help: &str) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    /// A gauge that can hold a fraction, such as seconds.
    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    pub(super) fn gauge_by(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn float_gauge_by(&self, name: &str, labels: &[&str], help: &str) -> GaugeVec {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histogram(&self, name: &str, buckets: &[f64], help: &str) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(opts))
    }

    fn add<C: Collector + Clone + 'static>(&self, created: prometheus::Result<C>) -> C {
        let metric = created.expect("invariant: names, labels and buckets are valid literals");
        self.0
            .register(Box::new(metric.clone()))
            .expect("invariant: no two metrics share a name");
        metric
    }
}

/// A counter with a `reason` label whose values are known in advance. Each series exists from the start
/// with the value 0, and counting needs no lookup in a map of labels.
pub(super) struct CountersByReason {
    known: Vec<(&'static str, IntCounter)>,
    all: IntCounterVec,
}

impl CountersByReason {
    pub(super) fn new(all: IntCounterVec, reasons: &[&'static str]) -> Self {
        let known = reasons
            .iter()
            .map(|&reason| (reason, all.with_label_values(&[reason])))
            .collect();
        Self { known, all }
    }

    /// The counts of the known reasons.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let known = self.known.iter();
        known.map(|(reason, counter)| (*reason, counter.get()))
    }

    /// A reason that isn't in the list counts as `other`. So the total is right and the number of series is
    /// bounded.
    pub(super) fn add(&self, reason: &str, count: u64) {
        match self.known.iter().find(|(known, _)| *known == reason) {
            Some((_, counter)) => counter.inc_by(count),
            None => self.all.with_label_values(&["other"]).inc_by(count),
        }
    }
}
