//! Named threads that are watched: the end of each one is an event for the supervisor.

use std::panic::{self, AssertUnwindSafe};
use std::thread::Builder;

use super::process_event::ProcessEvents;
use crate::failure::Failure;

/// Starts the process's threads.
pub struct Threads {
    events: ProcessEvents,
    /// The threads that a stop waits for: they were started, and their end was not reported yet.
    awaited: Vec<String>,
}

impl Threads {
    pub fn new(events: ProcessEvents) -> Self {
        Self {
            events,
            awaited: Vec::new(),
        }
    }

    /// Runs `work` on a thread called `name` for as long as the process runs. Its end, by a return or a
    /// panic, is an event, and a stop waits for it. Fails when the system has no thread to give.
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

    /// The same for work that ends by itself: only a failure is an event, and a stop doesn't wait for it.
    /// Fails when the system has no thread to give.
    pub fn spawn_finite(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        start(name, self.watched(name.to_owned(), false, work))
    }

    /// The same for work that can't fail: only a panic is an event. Fails when the system has no thread to
    /// give.
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

    fn watched(
        &self,
        thread: String,
        reports_success: bool,
        work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let events = self.events.clone();
        move || {
            let result = panic::catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(Failure::running(format!("thread `{thread}` panicked"))));
            if reports_success || result.is_err() {
                events.thread_ended(thread, result);
            }
        }
    }

    /// To be called for each [`ThreadEnded`](super::ProcessEvent::ThreadEnded) event. The event is the proof
    /// of a thread's end: the system's thread outlives it by a moment.
    pub fn mark_ended(&mut self, thread: &str) {
        self.awaited.retain(|name| name != thread);
    }

    /// The threads that a stop still waits for.
    pub fn running(&self) -> &[String] {
        &self.awaited
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|error| Failure::running(format!("can't start thread `{name}`")).because(error))
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::super::process_event::ProcessEvent;
    use super::*;

    #[test]
    fn a_thread_is_awaited_until_its_end_is_marked() {
        let (events, event_receiver) = ProcessEvents::channel();
        let mut threads = Threads::new(events);
        let (go, may_go) = bounded::<()>(0);
        threads.spawn("short", || Ok(())).unwrap();
        threads
            .spawn("long", move || {
                // Dropping the sender ends this thread.
                let _ = may_go.recv();
                Ok(())
            })
            .unwrap();
        assert_eq!(threads.running(), ["short", "long"]);
        let receive = |threads: &mut Threads| match event_receiver.recv() {
            Ok(ProcessEvent::ThreadEnded { thread, .. }) => threads.mark_ended(&thread),
            _ => panic!("no other event is expected"),
        };
        receive(&mut threads);
        assert_eq!(threads.running(), ["long"]);
        drop(go);
        receive(&mut threads);
        assert!(threads.running().is_empty());
    }

    #[test]
    fn each_end_of_a_thread_is_reported_and_so_is_a_panic() {
        let (events, event_receiver) = ProcessEvents::channel();
        let mut threads = Threads::new(events);
        threads.spawn("returns", || Ok(())).unwrap();
        threads
            .spawn("fails", || Err(Failure::running("why")))
            .unwrap();
        threads
            .spawn("panics", || panic!("a test's panic"))
            .unwrap();
        threads.spawn_finite("finite", || Ok(())).unwrap();
        threads
            .spawn_detached("detached", || panic!("a test's panic"))
            .unwrap();
        drop(threads);
        let mut ends: Vec<(String, Option<String>)> = event_receiver
            .iter()
            .map(|event| match event {
                ProcessEvent::ThreadEnded { thread, result } => {
                    (thread, result.err().map(|why| why.to_string()))
                }
                ProcessEvent::StopRequested | ProcessEvent::Failed(_) => {
                    panic!("no other event is expected")
                }
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
