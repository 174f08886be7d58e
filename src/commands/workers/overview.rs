//! The text of `top`: one line for each worker, and what is wrong with those that aren't ready.

use std::fmt::Write as _;

use super::rates::Rates;
use super::report::lag_seconds;
use super::words::{count, duration, rate, size};
use crate::cli::WorkerAddress;
use crate::failure::Failure;
use crate::observe::status::Status;

pub(super) fn overview(
    workers: &[WorkerAddress],
    before: &[Option<Status>],
    now: &[Result<Status, Failure>],
) -> String {
    let width = workers
        .iter()
        .map(|worker| worker.to_string().len())
        .max()
        .unwrap_or(0)
        .max("worker".len());
    let mut text = String::new();
    let mut below = String::new();
    let row = |text: &mut String, cells: [&str; 9]| {
        let [
            worker,
            state,
            partitions,
            stored,
            letters,
            lag,
            behind,
            insert,
            memory,
        ] = cells;
        let _ = writeln!(
            text,
            "{worker:<width$} {state:<19} {partitions:>10} {stored:>10} {letters:>8} {lag:>12} {behind:>12} {insert:>9} {memory:>11}"
        );
    };
    row(
        &mut text,
        [
            "worker",
            "state",
            "partitions",
            "stored/s",
            "dead/s",
            "lag",
            "behind",
            "insert",
            "memory",
        ],
    );
    let mut total = Total::default();
    for ((worker, before), now) in workers.iter().zip(before).zip(now) {
        let worker = worker.to_string();
        match now {
            Err(failure) => {
                row(
                    &mut text,
                    [&worker, "does not answer", "", "", "", "", "", "", ""],
                );
                let _ = writeln!(below, "{worker}: {}", failure.chain());
            }
            Ok(status) => {
                let rates = before.as_ref().map(|before| Rates::between(before, status));
                let line = Line::of(status, rates.as_ref());
                total.add(status, rates.as_ref());
                row(&mut text, line.cells(&worker));
                if !status.ready {
                    let _ = writeln!(below, "{worker}: {}", status.reasons.join("; "));
                }
                if let Some(problem) = status.problems.first() {
                    let _ = writeln!(
                        below,
                        "{worker}: {} {}",
                        problem.at,
                        super::super::output::printable(problem.message.as_bytes(), 120)
                    );
                }
            }
        }
    }
    if workers.len() > 1 {
        row(&mut text, total.cells().each_ref().map(String::as_str));
    }
    if !below.is_empty() {
        text.push('\n');
        text.push_str(&below);
    }
    text
}

struct Line {
    state: String,
    partitions: String,
    stored: String,
    letters: String,
    lag: String,
    behind: String,
    insert: String,
    memory: String,
}

impl Line {
    fn of(status: &Status, rates: Option<&Rates>) -> Self {
        let partitions = status.partitions.as_deref().unwrap_or_default();
        let lags = partitions.iter().filter_map(|partition| partition.lag);
        Self {
            state: status.state.words().to_owned(),
            partitions: partitions.len().to_string(),
            stored: rates.map(|rates| rate(rates.stored)).unwrap_or_default(),
            letters: rates
                .map(|rates| rate(rates.dead_lettered))
                .unwrap_or_default(),
            lag: count(lags.sum::<i64>()),
            behind: lag_seconds(partitions).map(duration).unwrap_or_default(),
            insert: rates
                .and_then(|rates| rates.insert_seconds)
                .map(duration)
                .unwrap_or_default(),
            memory: status.resources.memory_bytes.map(size).unwrap_or_default(),
        }
    }

    fn cells<'a>(&'a self, worker: &'a str) -> [&'a str; 9] {
        [
            worker,
            &self.state,
            &self.partitions,
            &self.stored,
            &self.letters,
            &self.lag,
            &self.behind,
            &self.insert,
            &self.memory,
        ]
    }
}

/// The sums over all workers.
#[derive(Default)]
struct Total {
    partitions: usize,
    stored: f64,
    letters: f64,
    lag: i64,
    behind: f64,
    memory: u64,
}

impl Total {
    fn add(&mut self, status: &Status, rates: Option<&Rates>) {
        let partitions = status.partitions.as_deref().unwrap_or_default();
        self.partitions += partitions.len();
        self.stored += rates.map_or(0.0, |rates| rates.stored);
        self.letters += rates.map_or(0.0, |rates| rates.dead_lettered);
        self.lag += partitions
            .iter()
            .filter_map(|partition| partition.lag)
            .sum::<i64>();
        self.behind = self.behind.max(lag_seconds(partitions).unwrap_or_default());
        self.memory += status.resources.memory_bytes.unwrap_or_default();
    }

    fn cells(&self) -> [String; 9] {
        [
            "all".to_owned(),
            String::new(),
            self.partitions.to_string(),
            rate(self.stored),
            rate(self.letters),
            count(self.lag),
            duration(self.behind),
            String::new(),
            size(self.memory),
        ]
    }
}
