//! Tells systemd what the worker does: that it has started, one line of status, that it is alive, and that it stops.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use log::warn;
use sd_notify::{NotifyState, notify, watchdog_enabled};

use crate::observe::board::StatusBoard;
use crate::observe::health::Health;
use crate::runtime::StopSignal;

/// How often the line of status is told, and how often it is said that a start goes on.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long systemd is to wait for a start that goes on: it waits for Kafka or MongoDB.
const START_GOES_ON: Duration = Duration::from_secs(60);

/// Whether systemd started this process and wants to be told.
pub(super) fn is_asked_for() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

pub(super) struct SystemdNotifier {
    pub(super) board: Arc<StatusBoard>,
    pub(super) health: Arc<Health>,
    pub(super) has_started: Arc<AtomicBool>,
    pub(super) stop: StopSignal,
}

impl SystemdNotifier {
    /// Runs as long as the process: also a stop is watched.
    pub(super) fn run(&self) {
        let watchdog = watchdog_enabled();
        // Two beats may come late.
        let interval = watchdog.map_or(INTERVAL, |limit| (limit / 3).min(INTERVAL));
        let mut told = Told::default();
        let mut was_heard = true;
        loop {
            let facts = Facts {
                has_started: self.has_started.load(Ordering::Acquire),
                is_stopping: self.stop.is_stopping(),
                is_alive: watchdog.is_some() && self.health.liveness(Instant::now()).is_alive(),
            };
            let line = self.board.line();
            let result = notify(&told.next(facts, &line));
            if let Err(error) = &result
                && was_heard
            {
                warn!("systemd could not be told what this worker does: {error}");
            }
            was_heard = result.is_ok();
            if facts.is_stopping {
                // This only sleeps; the received time doesn't matter.
                let _ = after(interval).recv();
            } else {
                self.stop.wait(interval);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Facts {
    has_started: bool,
    is_stopping: bool,
    is_alive: bool,
}

/// What systemd was told already.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    stopping: bool,
    line: String,
}

impl Told {
    /// What to tell it now.
    fn next<'a>(&mut self, facts: Facts, line: &'a str) -> Vec<NotifyState<'a>> {
        let mut messages = Vec::new();
        if facts.is_stopping {
            if !self.stopping {
                self.stopping = true;
                messages.push(NotifyState::Stopping);
            }
        } else if !self.ready {
            if facts.has_started {
                self.ready = true;
                messages.push(NotifyState::Ready);
            } else {
                let micros = u32::try_from(START_GOES_ON.as_micros()).unwrap_or(u32::MAX);
                messages.push(NotifyState::ExtendTimeoutUsec(micros));
            }
        }
        if facts.is_alive {
            messages.push(NotifyState::Watchdog);
        }
        if self.line != line {
            line.clone_into(&mut self.line);
            messages.push(NotifyState::Status(line));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_told_once_and_the_beat_every_time() {
        let mut told = Told::default();
        let mut next = |has_started, is_stopping, is_alive, line| {
            let facts = Facts {
                has_started,
                is_stopping,
                is_alive,
            };
            let messages = told.next(facts, line);
            let lines: Vec<String> = messages.iter().map(ToString::to_string).collect();
            lines.join(" ")
        };
        assert_eq!(
            next(false, false, true, "starting"),
            "EXTEND_TIMEOUT_USEC=60000000 WATCHDOG=1 STATUS=starting"
        );
        assert_eq!(
            next(true, false, true, "running"),
            "READY=1 WATCHDOG=1 STATUS=running"
        );
        assert_eq!(next(true, false, true, "running"), "WATCHDOG=1");
        // The poll loop doesn't turn: no beat, so that systemd starts the worker anew.
        assert_eq!(next(true, false, false, "running"), "");
        assert_eq!(
            next(true, true, true, "stopping"),
            "STOPPING=1 WATCHDOG=1 STATUS=stopping"
        );
        assert_eq!(next(true, true, true, "stopping"), "WATCHDOG=1");
    }

    #[test]
    fn a_stop_during_the_start_is_told() {
        let mut told = Told::default();
        let facts = Facts {
            has_started: false,
            is_stopping: true,
            is_alive: false,
        };
        let messages = told.next(facts, "");
        assert!(matches!(messages.as_slice(), [NotifyState::Stopping]));
    }
}
