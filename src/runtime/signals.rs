//! SIGTERM and SIGINT: the first one asks for a stop, a second one ends the process at once.

use std::process;
use std::time::{Duration, Instant};

use log::{error, info};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::process_event::ProcessEvents;
use super::stop::StopSignal;
use super::threads::Threads;
use crate::failure::Failure;

/// Listens for signals from now on. Whatever can't be settled within `settle_time` of the first signal is
/// given up, uncommitted. Fails when the system won't let us listen, or has no thread to give.
pub fn spawn_signals(
    threads: &mut Threads,
    stop: StopSignal,
    settle_time: Duration,
    events: ProcessEvents,
) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Failure::running("can't listen for signals").because(error))?;
    threads.spawn_detached("signals", move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                error!("a second signal: ending the process at once");
                process::exit(1);
            }
            info!("asked to stop");
            stop.ask(Instant::now() + settle_time);
            events.stop_requested();
        }
    })
}
