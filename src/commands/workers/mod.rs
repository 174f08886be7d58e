//! `status`, `top`, `pause` and `resume`: what running workers do, and an operator's orders to the one of this host.

mod ask;
mod order;
mod overview;
mod rates;
mod report;
mod words;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use crossbeam_channel::after;

use super::output::{self, printable_lines};
use crate::cli::{Status as StatusArguments, Top, WorkerAddress};
use crate::config::Config;
use crate::failure::Failure;
use crate::observe::status::Status;

use ask::ask;
pub(super) use order::{pause, resume};
use rates::Rates;

/// Between the two answers that a rate needs.
const RATE_TIME: Duration = Duration::from_secs(1);

/// Clears the screen of a terminal and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints what each worker does. Fails when one of them can't be asked.
pub(super) fn status(
    arguments: &StatusArguments,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let workers = addresses(&arguments.workers, config)?;
    let before = look(&workers);
    if arguments.json {
        for answer in before.iter().flatten() {
            let line = serde_json::to_string(answer)
                .map_err(|error| Failure::running("can't print the status").because(error))?;
            output::print(format!("{line}\n").as_bytes())?;
        }
        return first_failure(before);
    }
    wait(RATE_TIME);
    let after = look(&workers);
    for (number, answer) in after.iter().enumerate() {
        if let Ok(after) = answer {
            let gap = if number == 0 { "" } else { "\n" };
            let rates = before[number]
                .as_ref()
                .ok()
                .map(|before| Rates::between(before, after));
            let text = format!("{gap}{}", report::report(after, rates.as_ref()));
            output::print(printable_lines(&text).as_bytes())?;
        }
    }
    first_failure(after)
}

/// Prints one line for each worker, again and again, until nobody reads it any more. A worker that can't be asked is a
/// line that says so.
pub(super) fn top(
    arguments: &Top,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let workers = addresses(&arguments.workers, config)?;
    let begin = if io::stdout().is_terminal() {
        CLEAR
    } else {
        ""
    };
    let mut before: Vec<Option<Status>> = vec![None; workers.len()];
    let mut interval = RATE_TIME;
    loop {
        let now = look(&workers);
        let lines = overview::overview(&workers, &before, &now);
        let text = format!("{begin}{}\n", printable_lines(&lines));
        if !output::print_if_read(text.as_bytes())? {
            return Ok(());
        }
        // A worker that doesn't answer begins anew when it does.
        before = now.into_iter().map(Result::ok).collect();
        wait(interval);
        interval = Duration::from_secs(arguments.interval);
    }
}

/// The workers that are to be asked.
fn addresses(
    given: &[WorkerAddress],
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<Vec<WorkerAddress>, Failure> {
    if given.is_empty() {
        Ok(vec![ask::address_of(&config()?)?])
    } else {
        Ok(given.to_vec())
    }
}

/// Asks all at the same time, since one that doesn't answer takes seconds.
fn look(workers: &[WorkerAddress]) -> Vec<Result<Status, Failure>> {
    thread::scope(|scope| {
        let asked: Vec<_> = workers
            .iter()
            .map(|worker| scope.spawn(move || ask(worker)))
            .collect();
        asked
            .into_iter()
            .map(|answer| {
                answer
                    .join()
                    .unwrap_or_else(|_| Err(Failure::running("asking the worker panicked")))
            })
            .collect()
    })
}

/// These commands give signals back their default effect, so that one ends the process in a wait.
fn wait(duration: Duration) {
    // This only sleeps; the received time doesn't matter.
    let _ = after(duration).recv();
}

fn first_failure(answers: Vec<Result<Status, Failure>>) -> Result<(), Failure> {
    let mut failures = answers.into_iter().filter_map(Result::err);
    let Some(first) = failures.next() else {
        return Ok(());
    };
    // The others are said here, since a process ends with one failure.
    for failure in failures {
        output::print_failure(&failure);
    }
    Err(first)
}
