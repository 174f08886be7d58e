//! What a replay and a repair begin with: the stop that a signal asks for, and the threads that are watched.

use crossbeam_channel::Receiver;

use crate::config::Config;
use crate::core::time_limits::settle_time;
use crate::failure::Failure;
use crate::runtime::{CaughtSignals, OnHangup, ProcessEvent, ProcessEvents, StopSignal, Threads};

pub(super) struct WatchedProcess {
    pub(super) stop: StopSignal,
    pub(super) threads: Threads,
    pub(super) events: ProcessEvents,
    pub(super) event_receiver: Receiver<ProcessEvent>,
}

impl WatchedProcess {
    /// From now on a signal asks for a stop. Fails when the system has no thread to give.
    pub(super) fn start(config: &Config, signals: CaughtSignals) -> Result<Self, Failure> {
        let stop = StopSignal::new();
        let (events, event_receiver) = ProcessEvents::channel();
        let mut threads = Threads::new(events.clone());
        signals.spawn(
            &mut threads,
            stop.clone(),
            settle_time(config.consumer.shutdown_timeout),
            events.clone(),
            OnHangup::EndProcess,
        )?;
        Ok(Self {
            stop,
            threads,
            events,
            event_receiver,
        })
    }
}
