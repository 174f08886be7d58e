//! The outcome of a row: figures with their spread, and targets met or missed; as a table and as JSON.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::statistics::Summary;

/// The outcome of one row of the benchmark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub title: String,
    /// When it was measured. Empty where that is when the last row was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub date: String,
    pub settings: Value,
    /// All that was observed, run by run. It is not published.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub observations: Value,
    pub figures: Vec<Figure>,
    /// What a plot shows over time, and no table has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    pub targets: Vec<Judgement>,
    /// What a reader must know beside the numbers, such as runs that failed.
    pub notes: Vec<String>,
}

/// One quantity of a system over time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    pub subject: String,
    pub quantity: Quantity,
    /// Seconds since the beginning, and the value.
    pub points: Vec<(f64, f64)>,
}

/// One quantity of a system, or of one point of a plot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    pub subject: String,
    pub quantity: Quantity,
    pub summary: Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    #[serde(rename = "messages/s")]
    Throughput,
    #[serde(rename = "CPU µs/message")]
    Cpu,
    #[serde(rename = "peak RSS MiB")]
    PeakRss,
    #[serde(rename = "throughput, paired ratio")]
    ThroughputRatio,
    #[serde(rename = "CPU, paired ratio")]
    CpuRatio,
    #[serde(rename = "latency ms")]
    Latency,
    #[serde(rename = "messages/batch")]
    BatchSize,
    #[serde(rename = "messages waiting")]
    Lag,
    #[serde(rename = "start s")]
    Start,
    #[serde(rename = "ns/record")]
    Bookkeeping,
}

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A target, and the value that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judgement {
    pub what: String,
    /// Nothing where nothing was observed.
    pub value: Option<f64>,
    pub target: Target,
    pub is_met: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {}", number(*bound)),
            Self::AtMost(bound) => write!(f, "<= {}", number(*bound)),
        }
    }
}

impl Row {
    pub fn new(name: &str, title: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            date: String::new(),
            settings: Value::Null,
            observations: Value::Null,
            figures: Vec::new(),
            curves: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure and returns its summary; nothing where nothing was observed.
    pub fn figure(&mut self, subject: &str, quantity: Quantity, values: &[f64]) -> Option<Summary> {
        let summary = Summary::of(values)?;
        self.figures.push(Figure {
            subject: subject.to_owned(),
            quantity,
            summary,
        });
        Some(summary)
    }

    /// Judges a value. A missing value misses its target.
    pub fn judge(&mut self, what: &str, value: Option<f64>, target: Target) {
        self.targets.push(Judgement {
            what: what.to_owned(),
            value,
            target,
            is_met: value.is_some_and(|value| target.is_met_by(value)),
        });
    }

    pub fn is_met(&self) -> bool {
        self.targets.iter().all(|target| target.is_met)
    }

    /// The subjects that have a figure of this quantity, in their order.
    pub fn subjects_of(&self, quantity: Quantity) -> Vec<&str> {
        self.figures
            .iter()
            .filter(|figure| figure.quantity == quantity)
            .map(|figure| figure.subject.as_str())
            .collect()
    }

    pub fn summary_of(&self, subject: &str, quantity: Quantity) -> Option<Summary> {
        self.figures
            .iter()
            .find(|figure| figure.subject == subject && figure.quantity == quantity)
            .map(|figure| figure.summary)
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.title)?;
        if !self.figures.is_empty() {
            writeln!(
                f,
                "  {:<52}{:>4}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
                "", "n", "median", "lower q.", "upper q.", "p99", "min", "max"
            )?;
        }
        for figure in &self.figures {
            let what = format!("{} {}", figure.subject, figure.quantity);
            let summary = figure.summary;
            write!(f, "  {what:<52}{:>4}", summary.count)?;
            // The 99th percentile of a few values means nothing.
            let p99 = if summary.count < 100 {
                String::new()
            } else {
                number(summary.p99)
            };
            writeln!(
                f,
                "{:>10}{:>10}{:>10}{p99:>10}{:>10}{:>10}",
                number(summary.median),
                number(summary.lower_quartile),
                number(summary.upper_quartile),
                number(summary.min),
                number(summary.max)
            )?;
        }
        for Judgement {
            what,
            value,
            target,
            is_met,
        } in &self.targets
        {
            let met = if *is_met { "met" } else { "MISSED" };
            let (value, target) = (optional_number(*value), target.to_string());
            writeln!(f, "  target: {what:<48}{value:>10}  {target:<12}{met}")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        for (what, value) in self.settings.as_object().into_iter().flatten() {
            writeln!(f, "  setting: {what}: {value}")?;
        }
        Ok(())
    }
}

/// A number as by [`number`], or `none`.
pub fn optional_number(value: Option<f64>) -> String {
    value.map_or_else(|| String::from("none"), number)
}

/// About three significant digits, and thousands separated by commas.
pub fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => with_commas(&format!("{value:.0}")),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn with_commas(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        let texts: Vec<String> = [0.954, 12.34, 345.6, 71_234.5, 1_000_000.0]
            .map(number)
            .to_vec();
        assert_eq!(texts, ["0.95", "12.3", "346", "71,234", "1,000,000"]);
        assert_eq!(optional_number(None), "none");
    }

    #[test]
    fn a_missing_value_misses_its_target() {
        let mut row = Row::new("row", "");
        row.judge("none", None, Target::AtMost(1.0));
        assert!(!row.is_met());
        assert_eq!(row.targets[0].target.to_string(), "<= 1.00");
    }
}
