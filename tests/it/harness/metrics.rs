//! The metrics, parsed as a scraper parses them.

use std::fmt;

use prometheus_parse::{Sample, Scrape, Value};

pub struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        Self {
            samples: Scrape::parse(lines).unwrap().samples,
        }
    }

    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The sum over all labels of a counter or gauge of whole numbers; 0 if there is no sample.
    pub fn sum(&self, name: &str) -> i64 {
        whole(self.find(name, &[]).sum())
    }

    /// How many observations a histogram has.
    pub fn observations(&self, histogram: &str) -> i64 {
        self.sum(&format!("{histogram}_count"))
    }

    /// The sum of a histogram's observations, which are whole numbers.
    pub fn total(&self, histogram: &str) -> i64 {
        self.sum(&format!("{histogram}_sum"))
    }

    /// The value of the sample that has these labels among its own.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<i64> {
        self.find(name, labels).next().map(whole)
    }

    /// The value of a gauge that is no whole number.
    pub fn float(&self, name: &str) -> Option<f64> {
        self.find(name, &[]).next()
    }

    /// How many samples a name has.
    pub fn count(&self, name: &str) -> usize {
        self.find(name, &[]).count()
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        self.samples
            .iter()
            .filter(move |sample| sample.metric == name)
            .filter(move |sample| {
                labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(label) == Some(value))
            })
            .filter_map(|sample| match sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(value),
                Value::Histogram(_) | Value::Summary(_) => None,
            })
    }
}

/// Prometheus knows only floating-point numbers.
fn whole(value: f64) -> i64 {
    format!("{value:.0}").parse().unwrap()
}

impl fmt::Display for Metrics {
    /// All samples that are not 0, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sample in &self.samples {
            if let Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) =
                sample.value
                && value != 0.0
            {
                writeln!(f, "  {}{{{}}} {value}", sample.metric, sample.labels)?;
            }
        }
        Ok(())
    }
}
