//! Why something failed, as far as the process's threads report it.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::failure::Failure;
use crate::runtime::ProcessEvent;

/// The cause of a failure whose symptom was seen first.
#[derive(Debug)]
pub(super) enum Cause {
    Failure(Failure),
    /// This thread returned without an error. That is the weakest explanation, because another thread's failure may
    /// have ended it.
    EndOfThread(String),
}

impl Cause {
    /// What the event explains. `None` if it explains nothing.
    pub(super) fn of(event: ProcessEvent) -> Option<Self> {
        match event {
            ProcessEvent::StopRequested => None,
            ProcessEvent::Failed(failure) => Some(Self::Failure(failure)),
            ProcessEvent::ThreadEnded { thread, result } => Some(match result {
                Err(failure) => Self::Failure(failure),
                Ok(()) => Self::EndOfThread(thread),
            }),
        }
    }

    /// Waits up to `timeout` for a failure. A thread that returned without an error is the answer only if no
    /// failure is reported in that time. `None` if neither is reported.
    pub(super) fn wait(received: &Receiver<ProcessEvent>, timeout: Duration) -> Option<Self> {
        let until = Instant::now() + timeout;
        let mut weakest = None;
        while let Ok(event) = received.recv_deadline(until) {
            match Self::of(event) {
                Some(Self::Failure(failure)) => return Some(Self::Failure(failure)),
                Some(Self::EndOfThread(thread)) => {
                    weakest.get_or_insert(Self::EndOfThread(thread));
                }
                None => {}
            }
        }
        weakest
    }

    /// The failure to report, where `symptom` was seen.
    pub(super) fn explain(self, symptom: Failure) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::EndOfThread(thread) => {
                symptom.because(format!("thread `{thread}` ended by itself"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use crossbeam_channel::bounded;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn ended(thread: &str, result: Result<(), &str>) -> ProcessEvent {
        ProcessEvent::ThreadEnded {
            thread: thread.to_owned(),
            result: result.map_err(Failure::running),
        }
    }

    /// The text that is reported for a symptom when these events are received.
    fn reported(events: Vec<ProcessEvent>, timeout: Duration) -> String {
        let (sender, received) = bounded(events.len());
        for event in events {
            sender.send(event).unwrap();
        }
        let symptom = Failure::running("the symptom");
        match Cause::wait(&received, timeout) {
            Some(cause) => cause.explain(symptom).chain().to_string(),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_failure_is_the_cause_whatever_is_received_before_it() {
        let before = || {
            vec![
                ProcessEvent::StopRequested,
                ended("commit", Ok(())),
                ProcessEvent::StopRequested,
            ]
        };
        for failure in [
            ended("committer", Err("refused")),
            ProcessEvent::Failed(Failure::running("refused")),
        ] {
            let mut events = before();
            events.push(failure);
            events.push(ended("writer-0", Err("a further failure")));
            assert_eq!(reported(events, LONG), "refused");
        }
    }

    #[test]
    fn the_end_of_a_thread_explains_a_symptom_only_if_nothing_better_is_received() {
        let events = vec![ended("commit", Ok(())), ended("committer", Ok(()))];
        assert_eq!(
            reported(events, Duration::from_millis(1)),
            "the symptom: thread `commit` ended by itself"
        );
    }

    #[test]
    fn a_request_to_stop_explains_nothing() {
        let events = vec![ProcessEvent::StopRequested];
        assert_eq!(reported(events, Duration::from_millis(1)), "nothing");
    }

    #[test]
    fn a_failure_that_is_reported_later_is_waited_for() {
        let (sender, received) = bounded(2);
        sender.send(ended("commit", Ok(()))).unwrap();
        let reporter = thread::Builder::new()
            .spawn(move || {
                sender.send(ended("committer", Err("refused"))).unwrap();
                sender
            })
            .unwrap();
        let cause = Cause::wait(&received, LONG).unwrap();
        assert_eq!(cause.explain(Failure::running("")).to_string(), "refused");
        reporter.join().unwrap();
    }
}
