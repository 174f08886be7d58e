//! Named threads that are watched: whichever ends, the supervisor hears of it.

use std::panic::{self, AssertUnwindSafe};
use std::thread::Builder;

use crossbeam_channel::Sender;

use super::failure::Failure;
use super::messages::Event;
use crate::kafka::DeadLetterProducer;

/// Starts the process's threads.
pub struct Threads {
    events: Sender<Event>,
    /// Those that a stop waits for: their end has not been heard of.
    awaited: Vec<String>,
}

impl Threads {
    #[must_use]
    pub fn new(events: Sender<Event>) -> Self {
        Self {
            events,
            awaited: Vec::new(),
        }
    }

    /// Runs `work` on a thread called `name` for as long as the process runs: its end, by a return or a
    /// panic, is an event, and a stop waits for it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let name = name.into();
        start(&name, self.watched(name.clone(), true, work))?;
        self.awaited.push(name);
        Ok(())
    }

    /// The same for work that has an end of its own: only a failure is an event, and nobody waits.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn_finite(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        start(name, self.watched(name.to_owned(), false, work))
    }

    /// For what ends with the process only.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn_detached(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Failure> {
        self.spawn_finite(name, move || {
            work();
            Ok(())
        })
    }

    /// Whatever brings the reports of dead letters.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn_reports(&mut self, dead_letters: &DeadLetterProducer) -> Result<(), Failure> {
        for poller in dead_letters.report_pollers() {
            self.spawn_detached("reports", move || poller.run())?;
        }
        Ok(())
    }

    fn watched(
        &self,
        thread: String,
        tells_of_success: bool,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let events = self.events.clone();
        move || {
            let result = panic::catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(Failure::Running(format!("thread `{thread}` panicked"))));
            if tells_of_success || result.is_err() {
                // The supervisor is gone only when the process ends anyway.
                let _ = events.send(Event::Ended { thread, result });
            }
        }
    }

    /// To be told of each [`Event::Ended`]. Whether the system's thread is gone says less: it outlives the
    /// event by a moment.
    pub fn heard_end(&mut self, thread: &str) {
        self.awaited.retain(|name| name != thread);
    }

    /// Those that a stop still waits for.
    #[must_use]
    pub fn running(&self) -> &[String] {
        &self.awaited
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| Failure::Running(format!("can't start thread `{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_thread_whose_end_was_heard_is_waited_for_no_longer() {
        let (events, heard) = bounded(8);
        let mut threads = Threads::new(events);
        let (go, may_go) = bounded::<()>(0);
        threads.spawn("short", || Ok(())).unwrap();
        threads
            .spawn("long", move || {
                // The end of the channel lets it go.
                let _ = may_go.recv();
                Ok(())
            })
            .unwrap();
        assert_eq!(threads.running(), ["short", "long"]);
        let hear = |threads: &mut Threads| match heard.recv() {
            Ok(Event::Ended { thread, .. }) => threads.heard_end(&thread),
            _ => panic!("nothing else is said"),
        };
        hear(&mut threads);
        assert_eq!(threads.running(), ["long"]);
        drop(go);
        hear(&mut threads);
        assert!(threads.running().is_empty());
    }

    #[test]
    fn every_end_of_a_thread_is_heard_of_also_a_panic() {
        let (events, heard) = bounded(8);
        let mut threads = Threads::new(events);
        threads.spawn("returns", || Ok(())).unwrap();
        threads
            .spawn("fails", || Err(Failure::Running("why".to_owned())))
            .unwrap();
        threads
            .spawn("panics", || panic!("a test's panic"))
            .unwrap();
        threads.spawn_finite("finite", || Ok(())).unwrap();
        threads
            .spawn_detached("detached", || panic!("a test's panic"))
            .unwrap();
        drop(threads);
        let mut ends: Vec<(String, Option<String>)> = heard
            .iter()
            .map(|event| match event {
                Event::Ended { thread, result } => {
                    (thread, result.err().map(|why| why.to_string()))
                }
                Event::Signal | Event::Failed(_) => panic!("nothing else was said"),
            })
            .collect();
        ends.sort();
        let panicked = |name: &str| Some(format!("thread `{name}` panicked"));
        let expected = [
            ("detached".to_owned(), panicked("detached")),
            ("fails".to_owned(), Some("why".to_owned())),
            ("panics".to_owned(), panicked("panics")),
            ("returns".to_owned(), None),
        ];
        assert_eq!(ends, expected);
    }
}
