//! The text of `status`: everything about one worker.

use std::fmt::Write as _;

use super::rates::Rates;
use super::words::{self, count, duration, rate, size};
use crate::commands::output::printable;
use crate::observe::status::{Level, PartitionStatus, Problem, Status};

/// The most characters of a line of the log.
const PROBLEM_WIDTH: usize = 300;

pub(super) fn report(status: &Status, rates: Option<&Rates>) -> String {
    let mut text = Lines::default();
    let worker = &status.worker;
    text.line(
        "worker",
        &format!(
            "{}, version {}, up {}",
            worker.instance,
            worker.version,
            duration(status.uptime_seconds)
        ),
    );
    text.line(
        "reads",
        &format!("{} as group {}", worker.topic, worker.group),
    );
    text.line(
        "writes",
        &format!(
            "{}.{}, dead letters to {}",
            worker.database, worker.collection, worker.dead_letter_topic
        ),
    );
    text.line(
        "state",
        &format!("{} since {}", status.state.words(), status.state_since),
    );
    if let Some(pause) = &status.pause {
        let reason = pause.reason.as_deref().map(|reason| format!(": {reason}"));
        let words = format!(
            "by {} since {}{}",
            pause.by,
            pause.since,
            reason.unwrap_or_default()
        );
        text.line("paused", &printable(words.as_bytes(), PROBLEM_WIDTH));
    }
    let ready = if status.ready {
        "yes".to_owned()
    } else {
        format!("no: {}", status.reasons.join("; "))
    };
    text.line("ready", &ready);
    if !status.alive {
        text.line(
            "alive",
            "no: the poll loop does not turn, or a thread has ended",
        );
    }
    text.line("rates", &rate_words(rates));
    let flight = &status.in_flight;
    text.line(
        "in flight",
        &format!(
            "{} of {} messages, {} of {}, the oldest for {}",
            count(flight.messages),
            count(flight.max_messages),
            size(flight.bytes),
            size(flight.max_bytes),
            duration(flight.oldest_seconds)
        ),
    );
    text.line(
        "writers",
        &format!("{} of {} busy", status.writers.busy, status.writers.threads),
    );
    if let Some(memory) = status.resources.memory_bytes {
        let limit = status
            .resources
            .memory_limit_bytes
            .map(|limit| format!(" of {}", size(limit)));
        text.line(
            "memory",
            &format!("{}{}", size(memory), limit.unwrap_or_default()),
        );
    }
    let totals = &status.totals;
    text.line("so far", &format!(
        "{} stored, {} already stored, {} dead letters, {} inserts tried again, {} commits failed, {} offsets skipped",
        count(totals.stored), count(totals.already_stored), count(totals.dead_lettered), count(totals.mongodb_retries),
        count(totals.commit_failures), count(totals.offsets_skipped)
    ));
    for (reason, letters) in &totals.dead_lettered_by_reason {
        text.line("", &format!("{} dead letters: {reason}", count(*letters)));
    }
    if let Some(replay) = status.outage_replay {
        text.line(
            "replay",
            &format!(
                "of an outage's dead letters: {} stored, {} refused again, {} offsets left to look at",
                count(replay.stored),
                count(replay.failed),
                replay.waiting.map_or_else(|| "?".to_owned(), count)
            ),
        );
    }
    text.0.push_str(&partitions(status.partitions.as_deref()));
    for problem in &status.problems {
        text.0.push_str(&problem_line(problem));
    }
    text.0
}

pub(super) fn lag_seconds(partitions: &[PartitionStatus]) -> Option<f64> {
    partitions
        .iter()
        .filter_map(|partition| partition.lag_seconds)
        .reduce(f64::max)
}

fn rate_words(rates: Option<&Rates>) -> String {
    let Some(rates) = rates else {
        return "not known: the worker answered once only".to_owned();
    };
    let insert = rates.insert_seconds.map_or_else(
        || "no insert".to_owned(),
        |seconds| format!("inserts of {}", duration(seconds)),
    );
    let batches = rates.batch_size.map_or_else(
        || "no batch".to_owned(),
        |size| format!("batches of {}", rate(size)),
    );
    format!(
        "{} stored/s, {} dead letters/s, {insert}, {batches}",
        rate(rates.stored),
        rate(rates.dead_lettered)
    )
}

fn partitions(partitions: Option<&[PartitionStatus]>) -> String {
    let Some(partitions) = partitions else {
        return "\nno assignment yet\n".to_owned();
    };
    if partitions.is_empty() {
        return "\nno partitions: this worker stands by\n".to_owned();
    }
    let mut text = format!(
        "\n{:>9} {:>14} {:>10} {:>12} {:>12}\n",
        "partition", "committed", "in flight", "lag", "behind"
    );
    let unknown = || "?".to_owned();
    for partition in partitions {
        let _ = writeln!(
            text,
            "{:>9} {:>14} {:>10} {:>12} {:>12}{}",
            partition.partition,
            partition
                .committed_offset
                .map_or_else(unknown, |offset| offset.to_string()),
            count(partition.in_flight),
            partition.lag.map_or_else(unknown, count),
            partition.lag_seconds.map_or_else(unknown, duration),
            if partition.stalled {
                "  does not move on"
            } else {
                ""
            }
        );
    }
    text
}

fn problem_line(problem: &Problem) -> String {
    let level = match problem.level {
        Level::Warning => "WARN ",
        Level::Error => "ERROR",
    };
    let fields = problem
        .fields
        .iter()
        .fold(String::new(), |mut text, (key, value)| {
            let _ = write!(text, " {key}={value}");
            text
        });
    let times = match problem.count {
        ..=1 => String::new(),
        count => format!("{} times, the last: ", words::count(count)),
    };
    let line = format!("{times}{}{fields}", problem.message);
    format!(
        "{} {level} {}\n",
        problem.at,
        printable(line.as_bytes(), PROBLEM_WIDTH)
    )
}

/// Lines with a name before each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.0, "{name:<10}{text}");
    }
}

#[cfg(test)]
mod tests;
