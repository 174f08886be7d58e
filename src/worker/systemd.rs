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
use crate::runtime::{Restart, StopSignal};

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
    pub(super) restart: Restart,
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
                phase: self.phase(),
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
            if self.stop.is_stopping() {
                // This only sleeps; the received time doesn't matter.
                let _ = after(interval).recv();
            } else {
                self.stop.wait(interval);
            }
        }
    }

    fn phase(&self) -> Phase {
        if self.restart.is_wanted() {
            Phase::Reloading
        } else if self.stop.is_stopping() {
            Phase::Stopping
        } else if self.has_started.load(Ordering::Acquire) {
            Phase::Running
        } else {
            Phase::Starting
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Facts {
    phase: Phase,
    is_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    /// It stops, and begins anew.
    Reloading,
    Stopping,
}

/// What systemd was told already.
#[derive(Debug, Default)]
struct Told {
    phase: Option<Phase>,
    line: String,
}

impl Told {
    /// What to tell it now.
    fn next<'a>(&mut self, facts: Facts, line: &'a str) -> Vec<NotifyState<'a>> {
        let mut messages = Vec::new();
        let is_new = self.phase.replace(facts.phase) != Some(facts.phase);
        match facts.phase {
            Phase::Starting => {
                let micros = u32::try_from(START_GOES_ON.as_micros()).unwrap_or(u32::MAX);
                messages.push(NotifyState::ExtendTimeoutUsec(micros));
            }
            Phase::Running if is_new => messages.push(NotifyState::Ready),
            Phase::Reloading if is_new => {
                messages.push(NotifyState::Reloading);
                // Services of type `notify-reload` need it.
                messages.extend(NotifyState::monotonic_usec_now());
            }
            Phase::Stopping if is_new => messages.push(NotifyState::Stopping),
            Phase::Running | Phase::Reloading | Phase::Stopping => {}
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
        let mut next = |phase, is_alive, line| {
            let messages = told.next(Facts { phase, is_alive }, line);
            let lines: Vec<String> = messages.iter().map(ToString::to_string).collect();
            lines.join(" ")
        };
        assert_eq!(
            next(Phase::Starting, true, "starting"),
            "EXTEND_TIMEOUT_USEC=60000000 WATCHDOG=1 STATUS=starting"
        );
        assert_eq!(
            next(Phase::Running, true, "running"),
            "READY=1 WATCHDOG=1 STATUS=running"
        );
        assert_eq!(next(Phase::Running, true, "running"), "WATCHDOG=1");
        // The poll loop doesn't turn: no beat, so that systemd starts the worker anew.
        assert_eq!(next(Phase::Running, false, "running"), "");
        assert_eq!(
            next(Phase::Stopping, true, "stopping"),
            "STOPPING=1 WATCHDOG=1 STATUS=stopping"
        );
        assert_eq!(next(Phase::Stopping, true, "stopping"), "WATCHDOG=1");
    }

    #[test]
    fn a_reload_is_told_and_so_is_a_stop_during_it() {
        let mut told = Told::default();
        let mut next = |phase| {
            let is_alive = false;
            told.next(Facts { phase, is_alive }, "")
        };
        assert!(matches!(
            next(Phase::Reloading).as_slice(),
            [NotifyState::Reloading, NotifyState::MonotonicUsec(_)]
        ));
        assert!(next(Phase::Reloading).is_empty());
        let stopping = next(Phase::Stopping);
        assert!(matches!(stopping.as_slice(), [NotifyState::Stopping]));
    }
}
