//! SIGTERM and SIGINT: the first one asks for a stop, a second one ends the process at once. SIGHUP asks for a reload.

use std::fs;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{error, info};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, unregister};
use signal_hook::{SigId, flag};

use super::end::end_process;
use super::process_event::ProcessEvents;
use super::restart::Restart;
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

/// Whether this process was started with SIGHUP ignored, as `nohup` does. Only Linux tells.
fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// The signals that this module is about.
fn our_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
}

/// From now on the signals don't interrupt this thread, nor those that it starts. A signal for which the process has no other
/// thread waits; it also waits while the process executes its program anew.
fn hold_signals() -> io::Result<()> {
    Ok(our_signals().thread_block()?)
}

/// From now on the signals may interrupt this thread. One that has waited is handled before this returns.
fn let_signals_in() -> io::Result<()> {
    Ok(our_signals().thread_unblock()?)
}

fn cannot_catch(error: io::Error) -> Failure {
    Failure::running("can't catch signals").because(error)
}

/// What a SIGHUP does, unless the process was started with it ignored.
pub enum OnHangup {
    /// As by default.
    EndProcess,
    /// `hangups` gets a message. A stop that is asked for by a signal cancels `restart`.
    Reload {
        hangups: Sender<()>,
        restart: Restart,
    },
}

impl OnHangup {
    fn pass_on(&self) {
        match self {
            // It came before its default effect was restored.
            Self::EndProcess => {
                // Fails only for a signal that isn't known. This one is.
                let _ = emulate_default_handler(SIGHUP);
            }
            Self::Reload { hangups, .. } => {
                // If the channel is full, a reload is to begin already, and reads everything that has changed until then.
                let _ = hangups.try_send(());
            }
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP, caught from the beginning of the process on. The first SIGTERM or SIGINT is kept until
/// something acts on it, and a second one before that ends the process. A SIGHUP is kept as well.
pub struct CaughtSignals {
    signals: Signals,
    /// Whether the next SIGTERM or SIGINT has its default effect, which ends the process.
    ends_process: Arc<AtomicBool>,
    /// Whether a SIGHUP has its default effect, which ends the process.
    hangup_ends_process: Arc<AtomicBool>,
    /// The handlers that set `ends_process` at the first signal.
    setters: Vec<SigId>,
}

impl CaughtSignals {
    /// To be called before everything else: until then a signal ends the process, or has no effect if this is process 1
    /// of a container. Fails when the system doesn't allow to catch them.
    pub fn catch() -> Result<Self, Failure> {
        Self::register().map_err(cannot_catch)
    }

    fn register() -> io::Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT])?;
        let ends_process = Arc::new(AtomicBool::new(false));
        let hangup_ends_process = Arc::new(AtomicBool::new(false));
        if !ignores_hangups() {
            flag::register_conditional_default(SIGHUP, Arc::clone(&hangup_ends_process))?;
            signals.add_signal(SIGHUP)?;
        }
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
        // A process that began anew has held them since before it did.
        let_signals_in()?;
        Ok(Self {
            signals,
            ends_process,
            hangup_ends_process,
            setters,
        })
    }

    /// From now on the signals wait for [`Self::spawn`]. To be called before any thread is started, if the process may execute
    /// its program anew: a signal that interrupts another thread at that moment would be lost.
    pub fn hold(&self) -> Result<(), Failure> {
        hold_signals().map_err(cannot_catch)
    }

    /// Gives the signals their default effect again. A signal that was caught before has it now. For commands that don't
    /// handle signals.
    pub fn release(mut self) {
        self.ends_process.store(true, Ordering::SeqCst);
        self.hangup_ends_process.store(true, Ordering::SeqCst);
        if let Some(signal) = self.signals.pending().next() {
            if is_process_1() {
                end_process(exit_code_of(signal));
            }
            // Fails only for a signal that isn't known. This one is.
            let _ = emulate_default_handler(signal);
        }
    }

    /// From now on a thread acts on the signals; one that has come already is acted on at once. Whatever can't be
    /// settled within `settle_time` of the first SIGTERM or SIGINT is given up, uncommitted. The signals don't interrupt the
    /// calling thread any more. Fails when the system has no thread to give.
    pub fn spawn(
        mut self,
        threads: &mut Threads,
        stop: StopSignal,
        settle_time: Duration,
        events: ProcessEvents,
        on_hangup: OnHangup,
    ) -> Result<SignalThread, Failure> {
        let_signals_in().map_err(cannot_catch)?;
        for setter in self.setters.drain(..) {
            unregister(setter);
        }
        self.ends_process.store(false, Ordering::SeqCst);
        if let OnHangup::EndProcess = on_hangup {
            self.hangup_ends_process.store(true, Ordering::SeqCst);
        }
        let mut is_asked = false;
        let mut act = move |signal| {
            if signal == SIGHUP {
                on_hangup.pass_on();
                return;
            }
            if is_asked {
                error!("a second signal: ending the process at once");
                flush();
                end_process(1);
            }
            is_asked = true;
            if let OnHangup::Reload { restart, .. } = &on_hangup {
                restart.cancel();
            }
            stop.ask(Instant::now() + settle_time);
            events.stop_requested();
            info!("asked to stop");
        };
        // Here, not on the thread: the caller sees the stop before it begins anything else.
        self.signals.pending().for_each(&mut act);
        hold_signals().map_err(cannot_catch)?;
        let handle = self.signals.handle();
        let (done, ended) = bounded(0);
        threads.spawn_detached("signals", move || {
            // Neither call fails for signals that are known.
            let _ = let_signals_in();
            self.signals.forever().for_each(&mut act);
            let _ = hold_signals();
            // What came while the handling ended.
            self.signals.pending().for_each(&mut act);
            drop(done);
        })?;
        Ok(SignalThread { handle, ended })
    }
}

/// The thread that acts on the signals.
pub struct SignalThread {
    handle: Handle,
    /// Closed when the thread is done.
    ended: Receiver<()>,
}

impl SignalThread {
    /// Ends it. Each signal that has come is acted on before this returns. If the signals were held before any thread was
    /// started, a later one waits, and the program that the process executes gets it.
    pub fn end(self) {
        self.handle.close();
        // Nothing is ever sent.
        let _ = self.ended.recv();
    }
}
