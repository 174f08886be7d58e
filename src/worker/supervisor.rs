//! The supervisor gets an event at every thread's end and at a signal, and stops everything in the order of the
//! data flow. The watchdog ends a stop that hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, after, bounded};
use log::{error, warn};

use super::data_consumer::DataConsumer;
use crate::control::ControlSocket;
use crate::core::time_limits::settle_time;
use crate::failure::Failure;
use crate::kafka::DeadLetterProducer;
use crate::observe::http::HttpServer;
use crate::observe::log::flush;
use crate::runtime::{CaughtSignals, OnHangup, ProcessEvent, SignalThread, Threads, end_process};

pub(super) const POLLER: &str = "poller";

/// After a failure, what is in flight may still be settled for this long.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long the supervisor waits for the last dead letters to be acknowledged.
const LAST_FLUSH: Duration = Duration::from_millis(500);

/// What the supervisor ends itself, after the poller has ended. Each dead letter that waits for its delivery report
/// holds a sender of the committer's channel. Dropping the producer drops these letters, and the committer can end.
pub(super) struct Running {
    pub(super) dead_letters: Arc<DeadLetterProducer>,
    pub(super) http: Option<Arc<HttpServer>>,
    pub(super) control: Option<ControlSocket>,
}

/// What the supervisor knows while it supervises.
struct Supervision {
    running: Option<Running>,
    failure: Option<Failure>,
    /// The failure is only that a thread ended, which another thread's failure may have caused.
    is_failure_a_consequence: bool,
    is_poller_done: bool,
}

impl DataConsumer {
    pub(super) fn spawn_watchdog(&self, threads: &mut Threads) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let timeout = self.config.consumer.shutdown_timeout;
        threads.spawn_detached("watchdog", move || {
            stop.wait_for_stop();
            // This only sleeps; the received time doesn't matter.
            let _ = after(timeout).recv();
            error!("the stop hangs: ending the process; what isn't committed will be read again");
            flush();
            end_process(1);
        })
    }

    /// Also returns where each wish for a reload arrives.
    pub(super) fn spawn_signals(
        &self,
        threads: &mut Threads,
        signals: CaughtSignals,
    ) -> Result<(SignalThread, Receiver<()>), Failure> {
        // One waiting request is enough: a reload reads everything that has changed until it begins.
        let (hangup, hangups) = bounded(1);
        let thread = signals.spawn(
            threads,
            self.stop.clone(),
            settle_time(self.config.consumer.shutdown_timeout),
            self.events.clone(),
            OnHangup::Reload {
                hangups: hangup,
                restart: self.restart.clone(),
            },
        )?;
        Ok((thread, hangups))
    }

    /// Waits for all threads and shuts them down in order.
    pub(super) fn supervise(&self, threads: &mut Threads, running: Running) -> Result<(), Failure> {
        let mut supervision = Supervision {
            running: Some(running),
            failure: None,
            is_failure_a_consequence: false,
            is_poller_done: false,
        };
        while let Some(event) = self.next_event() {
            self.handle_event(event, threads, &mut supervision);
            if self.stop.is_stopping() && threads.running().is_empty() {
                break;
            }
        }
        supervision.end_running();
        // Handles the events that arrived after the loop.
        for event in self.event_receiver.try_iter() {
            self.handle_event(event, threads, &mut supervision);
        }
        let unfinished = threads.running();
        if !unfinished.is_empty() {
            warn!(threads:? = unfinished; "some threads did not end in time; what they hold stays \
                                          uncommitted and will be read again");
        }
        match supervision.failure {
            Some(failure) => Err(failure),
            None if supervision.is_poller_done => Ok(()),
            None => Err(Failure::running("the consumer could not be closed in time")),
        }
    }

    /// `None`: the time for the threads' end is up.
    fn next_event(&self) -> Option<ProcessEvent> {
        let received = match self.stop.settle_by() {
            None => self
                .event_receiver
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(settle_by) => {
                let rest = self.config.consumer.shutdown_timeout / 5;
                self.event_receiver.recv_deadline(settle_by + rest)
            }
        };
        // The channel can't be disconnected: this struct holds a sender.
        received.ok()
    }

    fn handle_event(
        &self,
        event: ProcessEvent,
        threads: &mut Threads,
        supervision: &mut Supervision,
    ) {
        match event {
            ProcessEvent::StopRequested => self.health.set_stopping(),
            ProcessEvent::Failed(failure) => self.fail(supervision, failure, false),
            ProcessEvent::ThreadEnded { thread, result } => {
                threads.mark_ended(&thread);
                if thread == POLLER {
                    supervision.is_poller_done = true;
                    supervision.end_running();
                }
                match result {
                    Ok(()) if self.stop.is_stopping() => {}
                    Ok(()) => {
                        self.health.thread_died(&thread);
                        let why = format!("thread `{thread}` ended by itself");
                        self.fail(supervision, Failure::running(why), true);
                    }
                    Err(failure) => {
                        self.health.thread_died(&thread);
                        self.fail(supervision, failure, false);
                    }
                }
            }
        }
    }

    /// Notes the failure, and asks for a stop with little time to settle what is in flight. The process ends with the
    /// first failure, except that a cause replaces its consequence: a poller that fails closes the pool, and the ends
    /// of the writers may be reported before the poller's failure.
    fn fail(&self, supervision: &mut Supervision, failure: Failure, is_consequence: bool) {
        self.health.set_stopping();
        let settle_time = settle_time(self.config.consumer.shutdown_timeout);
        self.stop
            .ask(Instant::now() + FAILURE_SETTLE_TIME.min(settle_time));
        let is_cause = supervision.is_failure_a_consequence && !is_consequence;
        if supervision.failure.is_none() || is_cause {
            warn!("stopping, because of a failure: {}", failure.chain());
            supervision.failure = Some(failure);
            supervision.is_failure_a_consequence = is_consequence;
        } else {
            warn!("a further failure: {}", failure.chain());
        }
    }
}

impl Supervision {
    /// Ends what outlives the poller.
    fn end_running(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        // If the poller ended in order, it has waited for the delivery reports. This flush is for the other cases.
        if running.dead_letters.flush(LAST_FLUSH).is_err() {
            warn!("some dead letters are not acknowledged yet; their records stay uncommitted");
        }
        if let Some(http) = running.http {
            http.stop();
        }
        // This removes the socket's file.
        drop(running.control);
    }
}
