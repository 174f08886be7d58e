//! Whether MongoDB takes writes, as the writers learn it: a pure state machine; time is an argument.

use std::time::{Duration, Instant};

/// What writers do with records while MongoDB is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Records go to the dead letter topic, while one probe after the other looks whether MongoDB is back.
    Redirect,
    /// Records wait, while one probe after the other looks whether MongoDB is back.
    Wait,
    /// The outage ends the process: nothing waits for MongoDB, and nothing probes it.
    Stop,
}

/// How an outage was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageCause {
    /// No server answered. A ping can show that the outage is over.
    NoAnswer,
    /// The server answered a write, and the answer was about the server. Only a write can show that the outage is
    /// over: the server may answer a ping and still take no write.
    WriteRefused,
    /// The server refused documents with codes that aren't in the table. The cause may be the server or these
    /// documents. Writes of other documents will tell.
    UnknownRefusals,
}

/// Who asks for permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A writer whose next documents were not refused before.
    Writer,
    /// A writer whose next document was refused with a code that isn't in the table.
    SuspectWriter,
    /// An idle writer that would send a ping.
    Ping,
}

/// Available: writes go through. Unavailable: one probe at a time is permitted, every `reconnect_interval`. While
/// the cause may be the documents, others than the suspects may always be written.
#[derive(Debug)]
pub struct Availability {
    reconnect_interval: Duration,
    policy: OutagePolicy,
    state: State,
    /// Probes of this outage that were refused with unknown codes.
    refused_probes: u32,
}

/// Under [`OutagePolicy::Stop`], the outage is certain after so many probes that were refused with unknown codes.
const REFUSED_PROBES_BEFORE_STOP: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Available,
    Unavailable {
        since: Instant,
        cause: OutageCause,
        /// `None` while a probe is under way.
        probe_at: Option<Instant>,
    },
}

/// Whether a write may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// MongoDB is available.
    Write,
    /// It isn't certain that MongoDB is unavailable: this caller may try once, and must report a failure.
    Once,
    /// MongoDB is unavailable, and this caller is the probe: it must report the result.
    Probe,
    /// MongoDB is unavailable: do what the policy says.
    Denied,
}

/// What a failure changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureEffect {
    /// An outage began.
    Began,
    /// The documents were possibly the cause of the outage. Now it is certain that MongoDB is the cause.
    BecameCertain,
    None,
}

/// An outage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub lasted: Duration,
}

impl Availability {
    pub fn new(reconnect_interval: Duration, policy: OutagePolicy) -> Self {
        Self {
            reconnect_interval,
            policy,
            state: State::Available,
            refused_probes: 0,
        }
    }

    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }

    /// Whether MongoDB is unavailable, and the documents can't be the cause.
    pub fn is_certainly_unavailable(&self) -> bool {
        match self.state {
            State::Available => false,
            State::Unavailable { cause, .. } => cause != OutageCause::UnknownRefusals,
        }
    }

    /// Asks for permission to write, or to send a ping.
    pub fn permit(&mut self, caller: Caller, now: Instant) -> Permit {
        let permit = self.permit_now(caller, now);
        if let (Permit::Probe, State::Unavailable { probe_at, .. }) = (permit, &mut self.state) {
            *probe_at = None;
        }
        permit
    }

    /// The answer that [`Availability::permit`] would give. It permits nothing yet.
    pub fn permit_now(&self, caller: Caller, now: Instant) -> Permit {
        let State::Unavailable {
            cause, probe_at, ..
        } = self.state
        else {
            return Permit::Write;
        };
        let may_probe = match (caller, cause) {
            (Caller::Writer, OutageCause::UnknownRefusals) => return Permit::Once,
            (Caller::SuspectWriter, OutageCause::UnknownRefusals) => true,
            (Caller::Ping, OutageCause::WriteRefused | OutageCause::UnknownRefusals) => false,
            (Caller::Writer | Caller::SuspectWriter, _) | (Caller::Ping, OutageCause::NoAnswer) => {
                self.policy != OutagePolicy::Stop
            }
        };
        if may_probe && probe_at.is_some_and(|probe_at| now >= probe_at) {
            Permit::Probe
        } else {
            Permit::Denied
        }
    }

    /// The server took a write or judged one by itself, or it answered a ping that was permitted. Returns the outage
    /// that this ended, if any.
    pub fn succeeded(&mut self, now: Instant) -> Option<Outage> {
        let State::Unavailable { since, .. } = self.state else {
            return None;
        };
        self.state = State::Available;
        self.refused_probes = 0;
        Some(Outage {
            lasted: now.saturating_duration_since(since),
        })
    }

    /// A ping was answered. This ends only an outage in which no server answered.
    pub fn ping_succeeded(&mut self, now: Instant) -> Option<Outage> {
        match self.state {
            State::Unavailable {
                cause: OutageCause::NoAnswer,
                ..
            } => self.succeeded(now),
            State::Available | State::Unavailable { .. } => {
                self.probe_ended(now);
                None
            }
        }
    }

    /// A probe ended without a result: the next one is due after the interval.
    pub fn probe_ended(&mut self, now: Instant) {
        if let State::Unavailable { probe_at, .. } = &mut self.state {
            probe_at.get_or_insert(now + self.reconnect_interval);
        }
    }

    /// The attempts were used up, or a probe failed.
    pub fn failed(&mut self, cause: OutageCause, now: Instant) -> FailureEffect {
        let next_probe = now + self.reconnect_interval;
        let State::Unavailable {
            since,
            cause: earlier,
            probe_at,
        } = self.state
        else {
            self.state = State::Unavailable {
                since: now,
                cause,
                probe_at: Some(next_probe),
            };
            return FailureEffect::Began;
        };
        let was_probing = probe_at.is_none();
        let cause = self.cause_now(earlier, cause, was_probing);
        // Failures of other writers don't postpone the suspects' probe: there may always be another one.
        let keeps_probe_time = cause == OutageCause::UnknownRefusals && !was_probing;
        self.state = State::Unavailable {
            since,
            cause,
            probe_at: if keeps_probe_time {
                probe_at
            } else {
                Some(next_probe)
            },
        };
        let is_certain = cause != OutageCause::UnknownRefusals;
        if is_certain && earlier == OutageCause::UnknownRefusals {
            FailureEffect::BecameCertain
        } else {
            FailureEffect::None
        }
    }

    /// The cause of the outage after one more failure.
    fn cause_now(
        &mut self,
        earlier: OutageCause,
        latest: OutageCause,
        was_probing: bool,
    ) -> OutageCause {
        match (earlier, latest) {
            (_, OutageCause::UnknownRefusals) if was_probing => {
                self.refused_probes += 1;
                let stops = self.policy == OutagePolicy::Stop;
                if stops && self.refused_probes >= REFUSED_PROBES_BEFORE_STOP {
                    OutageCause::WriteRefused
                } else {
                    OutageCause::UnknownRefusals
                }
            }
            // A late answer to an old attempt.
            (earlier, OutageCause::UnknownRefusals) => earlier,
            // Only a write can tell whether the reason of that refusal is gone.
            (OutageCause::WriteRefused, OutageCause::NoAnswer) => OutageCause::WriteRefused,
            (_, latest) => latest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OutageCause::{NoAnswer, UnknownRefusals, WriteRefused};
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn permit(availability: &mut Availability, now: Instant) -> Permit {
        availability.permit(Caller::Writer, now)
    }

    #[test]
    fn writes_are_permitted_while_mongodb_is_available() {
        let now = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        assert_eq!(permit(&mut availability, now), Permit::Write);
        assert_eq!(availability.succeeded(now), None);
    }

    #[test]
    fn an_outage_lets_one_probe_through_each_interval() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        let effect = availability.failed(WriteRefused, start);
        assert_eq!(effect, FailureEffect::Began);
        let effect = availability.failed(WriteRefused, start);
        assert_eq!(effect, FailureEffect::None, "it is the same outage");
        assert_eq!(permit(&mut availability, start), Permit::Denied);
        let due = start + INTERVAL;
        assert_eq!(permit(&mut availability, due), Permit::Probe);
        assert_eq!(
            permit(&mut availability, due),
            Permit::Denied,
            "one at a time"
        );
        availability.failed(WriteRefused, due);
        assert_eq!(permit(&mut availability, due), Permit::Denied);
        let later = due + INTERVAL;
        assert_eq!(permit(&mut availability, later), Permit::Probe);
        let outage = availability.succeeded(later).expect("the outage ends");
        assert_eq!(outage.lasted, INTERVAL * 2);
        assert_eq!(permit(&mut availability, later), Permit::Write);
    }

    #[test]
    fn a_probe_without_a_result_is_followed_by_the_next() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        availability.probe_ended(start);
        assert!(availability.is_available(), "there was no probe");
        availability.failed(NoAnswer, start);
        let due = start + INTERVAL;
        assert_eq!(permit(&mut availability, due), Permit::Probe);
        availability.probe_ended(due);
        assert_eq!(permit(&mut availability, due), Permit::Denied);
        assert_eq!(permit(&mut availability, due + INTERVAL), Permit::Probe);
    }

    #[test]
    fn a_late_failure_of_an_old_attempt_postpones_the_probe_and_keeps_the_outage() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        availability.failed(NoAnswer, start);
        availability.failed(NoAnswer, start + INTERVAL / 2);
        assert_eq!(permit(&mut availability, start + INTERVAL), Permit::Denied);
        let due = start + INTERVAL * 3 / 2;
        assert_eq!(permit(&mut availability, due), Permit::Probe);
    }

    #[test]
    fn under_the_stop_policy_nothing_probes_a_certain_outage() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Stop);
        assert_eq!(permit(&mut availability, start), Permit::Write);
        availability.failed(WriteRefused, start);
        let later = start + INTERVAL * 100;
        for caller in [Caller::Writer, Caller::SuspectWriter, Caller::Ping] {
            assert_eq!(availability.permit(caller, later), Permit::Denied);
        }
    }

    #[test]
    fn a_ping_ends_only_an_outage_without_answers() {
        let start = Instant::now();
        let due = start + INTERVAL;
        for (causes, expected) in [
            (&[NoAnswer][..], true),
            (&[WriteRefused], false),
            (&[UnknownRefusals], false),
            (&[NoAnswer, WriteRefused], false),
            (&[WriteRefused, NoAnswer], false),
        ] {
            let mut availability = Availability::new(INTERVAL, OutagePolicy::Redirect);
            for &cause in causes {
                availability.failed(cause, start);
            }
            let is_permitted = availability.permit(Caller::Ping, due) == Permit::Probe;
            assert_eq!(is_permitted, expected, "{causes:?}");
            assert_eq!(
                availability.ping_succeeded(due).is_some(),
                expected,
                "{causes:?}"
            );
            assert_eq!(availability.is_available(), expected, "{causes:?}");
        }
    }

    #[test]
    fn while_the_documents_may_be_the_cause_others_are_written_and_suspects_probe() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Redirect);
        availability.failed(UnknownRefusals, start);
        assert!(!availability.is_available());
        assert!(!availability.is_certainly_unavailable());
        let suspect =
            |availability: &mut Availability, now| availability.permit(Caller::SuspectWriter, now);
        assert_eq!(suspect(&mut availability, start), Permit::Denied);
        assert_eq!(permit(&mut availability, start), Permit::Once);
        let due = start + INTERVAL;
        availability.failed(UnknownRefusals, start + INTERVAL / 2);
        assert_eq!(suspect(&mut availability, due), Permit::Probe);
        assert_eq!(
            suspect(&mut availability, due),
            Permit::Denied,
            "one at a time"
        );
        assert_eq!(permit(&mut availability, due), Permit::Once);
        assert!(availability.succeeded(due).is_some());
        assert_eq!(suspect(&mut availability, due), Permit::Write);
    }

    #[test]
    fn a_failure_of_the_server_makes_an_outage_certain_and_an_unknown_answer_to_a_probe_does_not() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        availability.failed(UnknownRefusals, start);
        let effect = availability.failed(WriteRefused, start);
        assert_eq!(effect, FailureEffect::BecameCertain);
        availability.failed(UnknownRefusals, start);
        assert!(availability.is_certainly_unavailable(), "a late answer");
        assert_eq!(permit(&mut availability, start + INTERVAL), Permit::Probe);
        availability.failed(UnknownRefusals, start + INTERVAL);
        assert!(!availability.is_certainly_unavailable());
    }

    #[test]
    fn under_the_stop_policy_suspects_get_three_probes() {
        let mut now = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Stop);
        availability.failed(UnknownRefusals, now);
        for _ in 0..3 {
            assert!(!availability.is_certainly_unavailable());
            now += INTERVAL;
            assert_eq!(
                availability.permit(Caller::SuspectWriter, now),
                Permit::Probe
            );
            availability.failed(UnknownRefusals, now);
        }
        assert!(availability.is_certainly_unavailable());
    }
}
