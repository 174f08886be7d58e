//! SIGTERM and SIGINT: the first one asks for a stop, a second one ends the process at once.

use std::process;
use std::time::{Duration, Instant};

use log::{error, info};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::failure::Failure;
use super::stop::StopSignal;
use super::threads::Threads;

/// Listens from now on; what can't be settled within `settle_time` of the first signal is given up.
///
/// # Errors
/// When the system won't let us listen, or has no thread to give.
pub fn spawn_signals(
    threads: &mut Threads,
    stop: StopSignal,
    settle_time: Duration,
    tell: impl Fn() + Send + 'static,
) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Failure::Running(format!("can't listen for signals: {error}")))?;
    threads.spawn_detached("signals", move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                error!("a second signal: ending the process at once");
                process::exit(1);
            }
            info!("asked to stop");
            stop.ask(Instant::now() + settle_time);
            tell();
        }
    })
}
