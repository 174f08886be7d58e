//! Hears of every thread's end and of the signals, and stops all in the order of the flow. A stop that
//! hangs is ended by the watchdog.

use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use log::{error, warn};

use super::data_consumer::DataConsumer;
use super::failure::Failure;
use super::messages::Event;
use super::signals::spawn_signals;
use super::threads::Threads;
use crate::config::Config;
use crate::kafka::DeadLetterProducer;
use crate::observe::http::HttpServer;

impl DataConsumer {
    pub(super) fn spawn_watchdog(&self, threads: &mut Threads) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let timeout = self.config.consumer.shutdown_timeout;
        threads.spawn_detached("watchdog", move || {
            stop.wait_for_stop();
            // The time that passes is all that it brings.
            let _ = after(timeout).recv();
            error!("the stop hangs: ending the process; what isn't committed will be read again");
            process::exit(1);
        })
    }

    pub(super) fn spawn_signals(&self, threads: &mut Threads) -> Result<(), Failure> {
        let events = self.events.0.clone();
        spawn_signals(
            threads,
            self.stop.clone(),
            settle_time(&self.config),
            move || {
                // Where the supervisor isn't listening yet, the stop says the same.
                let _ = events.try_send(Event::Signal);
            },
        )
    }

    /// Waits for the end, and sees to its order.
    pub(super) fn supervise(&self, threads: &mut Threads, running: Running) -> Result<(), Failure> {
        let mut running = Some(running);
        let mut failure = None;
        let mut is_poller_done = false;
        loop {
            let patience = self.patience_left();
            if patience == Some(Duration::ZERO) {
                break;
            }
            let event = match patience {
                Some(patience) => self.events.1.recv_timeout(patience).ok(),
                None => self.events.1.recv().ok(),
            };
            match event {
                None => break,
                Some(Event::Signal) => self.health.set_stopping(),
                Some(Event::Failed(why)) => self.fail(&mut failure, why),
                Some(Event::Ended { thread, result }) => {
                    threads.heard_end(&thread);
                    if thread == POLLER {
                        is_poller_done = true;
                        running.take().into_iter().for_each(Running::finish);
                    }
                    match result {
                        Ok(()) if self.stop.is_stopping() => {}
                        Ok(()) => {
                            self.health.thread_died(&thread);
                            let why = format!("thread `{thread}` ended by itself");
                            self.fail(&mut failure, Failure::Running(why));
                        }
                        Err(why) => {
                            self.health.thread_died(&thread);
                            self.fail(&mut failure, why);
                        }
                    }
                    if self.stop.is_stopping() && threads.running().is_empty() {
                        break;
                    }
                }
            }
        }
        running.take().into_iter().for_each(Running::finish);
        for event in self.events.1.try_iter() {
            if let Event::Ended { thread, .. } = &event {
                threads.heard_end(thread);
            }
            // What came too late to be heard above is a failure all the same.
            if let Event::Failed(why)
            | Event::Ended {
                result: Err(why), ..
            } = event
            {
                self.fail(&mut failure, why);
            }
        }
        let unfinished = threads.running();
        if !unfinished.is_empty() {
            warn!(threads:? = unfinished; "not all threads came to their end; what they hold stays \
                                          uncommitted and will be read again");
        }
        match failure {
            Some(failure) => Err(failure),
            None if is_poller_done => Ok(()),
            None => Err(Failure::Running(
                "the consumer could not be closed in time".to_owned(),
            )),
        }
    }

    /// Until when the pipeline's threads may take for their end; `None` while nobody has asked.
    fn patience_left(&self) -> Option<Duration> {
        let settle_by = self.stop.settle_by()?;
        let patience = self.config.consumer.shutdown_timeout / 5;
        Some((settle_by + patience).saturating_duration_since(Instant::now()))
    }

    /// The first failure counts. What is settled is still committed, but nothing is waited for long.
    fn fail(&self, first: &mut Option<Failure>, why: Failure) {
        self.health.set_stopping();
        self.stop
            .ask(Instant::now() + FAILURE_SETTLE_TIME.min(settle_time(&self.config)));
        if first.is_none() {
            warn!("stopping, because of a failure: {why}");
            *first = Some(why);
        } else {
            warn!("then: {why}");
        }
    }
}

/// What the supervisor ends itself, after the poller: the committer ends once no dead letter can come
/// any more.
pub(super) struct Running {
    pub(super) dead_letters: Arc<DeadLetterProducer>,
    pub(super) http: Option<Arc<HttpServer>>,
}

impl Running {
    fn finish(self) {
        // Where the poller ended in order, it waited for the reports; this is for where it didn't.
        if self.dead_letters.flush(LAST_FLUSH).is_err() {
            warn!("dead letters are still under way; their records stay uncommitted");
        }
        if let Some(http) = self.http {
            http.stop();
        }
    }
}

const LAST_FLUSH: Duration = Duration::from_millis(500);

pub(super) const POLLER: &str = "poller";

/// After a failure: what is on its way may still be settled.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// Of a stop's time, what settling may take; the rest is for committing and leaving the group.
pub(super) fn settle_time(config: &Config) -> Duration {
    config.consumer.shutdown_timeout * 7 / 10
}
