//! `pause` and `resume`: an operator's orders to the worker of this host.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::wait;
use super::words::count;
use crate::cli::{Pause, Resume};
use crate::commands::output;
use crate::config::Config;
use crate::control::{self, Reply, Request};
use crate::failure::Failure;
use crate::observe::status::{Pause as Paused, Status};

/// The poller obeys within a second, unless it waits for a rebalance.
const OBEYED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Orders a pause, and waits until the worker obeys. Fails when the worker can't be asked.
pub(in crate::commands) fn pause(
    arguments: Pause,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let socket = socket_of(arguments.socket, config)?;
    let order = Request::Pause {
        by: operator(),
        reason: arguments.reason,
    };
    let before = give(&socket, &order)?;
    let status = wait_until(&socket, |status| status.pause.is_some())?;
    let obeyed = status.pause.is_some();
    let text = match before {
        Some(Paused { since, by, .. }) => format!("it has been paused by {by} since {since}\n"),
        None if obeyed => format!(
            "paused: it takes no more messages off Kafka; {} in flight\n",
            count(status.in_flight.messages)
        ),
        None => not_yet(),
    };
    output::print(text.as_bytes())
}

/// Orders the end of the pause, and waits until the worker obeys. Fails when the worker can't be asked.
pub(in crate::commands) fn resume(
    arguments: Resume,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let socket = socket_of(arguments.socket, config)?;
    let before = give(&socket, &Request::Resume { by: operator() })?;
    let status = wait_until(&socket, |status| status.pause.is_none())?;
    let text = match before {
        None => "it was not paused\n".to_owned(),
        Some(_) if status.pause.is_some() => not_yet(),
        Some(Paused { since, by, .. }) => {
            format!("resumed; it had been paused by {by} since {since}\n")
        }
    };
    output::print(text.as_bytes())
}

fn not_yet() -> String {
    "ordered, but not obeyed yet: the worker is starting, or in a rebalance; `status` shows when it is\n"
        .to_owned()
}

/// The configuration is read only if it is needed: an operator may not have the worker's secrets at hand.
fn socket_of(
    given: Option<PathBuf>,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<PathBuf, Failure> {
    if let Some(socket) = given {
        return Ok(socket);
    }
    let config = config()?;
    config.control.socket().map(Path::to_owned).ok_or_else(|| {
        Failure::configuration(
            "`control.socket` is not set, so that the worker can't be told anything: set it to a path for a Unix \
             socket, and start the worker again",
        )
    })
}

fn give(socket: &Path, order: &Request) -> Result<Option<Paused>, Failure> {
    match exchange(socket, order)? {
        Reply::Ordered { before } => Ok(before),
        Reply::Refused(why) => Err(Failure::running(format!("the worker refuses: {why}"))),
        Reply::Status(_) => Err(Failure::running("the worker answered another question")),
    }
}

/// The first status that fits, or the one when the time is up.
fn wait_until(socket: &Path, fits: impl Fn(&Status) -> bool) -> Result<Status, Failure> {
    let until = Instant::now() + OBEYED_WITHIN;
    loop {
        let Reply::Status(status) = exchange(socket, &Request::Status)? else {
            return Err(Failure::running("the worker answered another question"));
        };
        if fits(&status) || Instant::now() >= until {
            return Ok(*status);
        }
        wait(LOOK_INTERVAL);
    }
}

fn exchange(socket: &Path, request: &Request) -> Result<Reply, Failure> {
    control::ask(socket, request)
        .map_err(|error| Failure::running(socket.display().to_string()).because(error))
}

/// Who gives the order, as the environment says; else the number of the user.
fn operator() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| {
            let value = env::var(name).ok()?;
            (!value.is_empty()).then_some(value)
        });
    let number = || {
        fs::metadata("/proc/self").map_or_else(
            |_| "an unknown user".to_owned(),
            |process| format!("user {}", process.uid()),
        )
    };
    named.unwrap_or_else(number)
}
