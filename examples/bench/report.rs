//! What a row comes to: figures with their spread, targets met or missed; as a table and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;
use serde_json::Value;

use crate::statistics::Summary;

/// The outcome of one row of the benchmark.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub title: String,
    pub settings: Value,
    /// All that was seen, run by run.
    pub observations: Value,
    pub figures: Vec<Figure>,
    pub targets: Vec<Judgement>,
    /// What a reader has to know beside the numbers, such as runs that failed.
    pub notes: Vec<String>,
}

/// A quantity of a system, or of one point of a plot.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub subject: String,
    pub quantity: Quantity,
    pub summary: Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// A target, and what was seen of it.
#[derive(Debug, Serialize)]
pub struct Judgement {
    pub what: String,
    pub value: f64,
    pub target: Target,
    pub is_met: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
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
            settings: Value::Null,
            observations: Value::Null,
            figures: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a figure and gives its summary back; nothing where nothing was observed.
    pub fn figure(&mut self, subject: &str, quantity: Quantity, values: &[f64]) -> Option<Summary> {
        let summary = Summary::of(values)?;
        self.figures.push(Figure {
            subject: subject.to_owned(),
            quantity,
            summary,
        });
        Some(summary)
    }

    /// Judges a value; one that is not there misses its target.
    pub fn judge(&mut self, what: &str, value: Option<f64>, target: Target) {
        let value = value.unwrap_or(f64::NAN);
        self.targets.push(Judgement {
            what: what.to_owned(),
            value,
            target,
            is_met: target.is_met_by(value),
        });
    }

    pub fn is_met(&self) -> bool {
        self.targets.iter().all(|target| target.is_met)
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
            // Of a few values, the 99th percentile says nothing.
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
            let (value, target) = (number(*value), target.to_string());
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

/// Three or so digits that matter, and thousands set apart.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return String::from("none");
    }
    match value.abs() {
        1000.0.. => set_apart(&format!("{value:.0}")),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn set_apart(digits: &str) -> String {
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
    fn numbers_keep_the_digits_that_matter() {
        let texts: Vec<String> = [0.954, 12.34, 345.6, 71_234.5, 1_000_000.0, f64::NAN]
            .map(number)
            .to_vec();
        assert_eq!(
            texts,
            ["0.95", "12.3", "346", "71,234", "1,000,000", "none"]
        );
    }

    #[test]
    fn a_value_that_is_not_there_misses_its_target() {
        let mut row = Row::new("row", "");
        row.judge("none", None, Target::AtMost(1.0));
        assert!(!row.is_met());
        assert_eq!(row.targets[0].target.to_string(), "<= 1.00");
    }
}
