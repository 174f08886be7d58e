//! SIGTERM and SIGINT: the first one asks for a stop, a second one ends the process at once.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{error, info};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, unregister};
use signal_hook::{SigId, flag};

use super::process_event::ProcessEvents;
use super::stop::StopSignal;
use super::threads::Threads;
use crate::failure::Failure;
use crate::observe::log::flush;

/// For process 1 of a container a signal has no default effect.
fn is_process_1() -> bool {
    process::id() == 1
}

/// As shells and containers show the end by a signal.
fn exit_code_of(signal: i32) -> i32 {
    128 + signal
}

/// SIGTERM and SIGINT, caught from the beginning of the process on. The first one is kept until something acts on
/// it. A second one before that ends the process.
pub struct CaughtSignals {
    signals: Signals,
    /// Whether the next signal has its default effect, which ends the process.
    ends_process: Arc<AtomicBool>,
    /// The handlers that set `ends_process` at the first signal.
    setters: Vec<SigId>,
}

impl CaughtSignals {
    /// To be called before everything else: until then a signal ends the process, or has no effect if this is process 1
    /// of a container. Fails when the system doesn't allow to catch them.
    pub fn catch() -> Result<Self, Failure> {
        Self::register().map_err(|error| Failure::running("can't catch signals").because(error))
    }

    fn register() -> io::Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT])?;
        let ends_process = Arc::new(AtomicBool::new(false));
        let mut setters = Vec::new();
        for signal in [SIGTERM, SIGINT] {
            // Handlers run in this order: the first one reads the flag that the previous signal has set, the second one
            // sets it.
            if is_process_1() {
                let code = exit_code_of(signal);
                flag::register_conditional_shutdown(signal, code, Arc::clone(&ends_process))?;
            } else {
                flag::register_conditional_default(signal, Arc::clone(&ends_process))?;
            }
            setters.push(flag::register(signal, Arc::clone(&ends_process))?);
        }
        Ok(Self {
            signals,
            ends_process,
            setters,
        })
    }

    /// Gives the signals their default effect again. A signal that was caught before has it now. For commands that don't
    /// handle signals.
    pub fn release(mut self) {
        self.ends_process.store(true, Ordering::SeqCst);
        if let Some(signal) = self.signals.pending().next() {
            if is_process_1() {
                process::exit(exit_code_of(signal));
            }
            // Fails only for a signal that isn't known. This one is.
            let _ = emulate_default_handler(signal);
        }
    }

    /// From now on a thread acts on the signals; one that has come already is acted on at once. Whatever can't be
    /// settled within `settle_time` of the first signal is given up, uncommitted. Fails when the system has no
    /// thread to give.
    pub fn spawn(
        mut self,
        threads: &mut Threads,
        stop: StopSignal,
        settle_time: Duration,
        events: ProcessEvents,
    ) -> Result<(), Failure> {
        for setter in self.setters.drain(..) {
            unregister(setter);
        }
        self.ends_process.store(false, Ordering::SeqCst);
        let ask = move || {
            stop.ask(Instant::now() + settle_time);
            events.stop_requested();
            info!("asked to stop");
        };
        // Here, not on the thread: the caller sees the stop before it begins anything else.
        let mut is_asked = self.signals.pending().next().is_some();
        if is_asked {
            ask();
        }
        threads.spawn_detached("signals", move || {
            for _ in self.signals.forever() {
                if is_asked {
                    error!("a second signal: ending the process at once");
                    flush();
                    process::exit(1);
                }
                is_asked = true;
                ask();
            }
        })
    }
}
