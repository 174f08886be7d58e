//! Whether MongoDB takes writes, as the writers learn it: a pure state machine; time is an argument.

#[cfg(test)]
mod tests;

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
    state: AvailabilityState,
    /// Probes of this outage that were refused with unknown codes.
    refused_probes: u32,
}

/// Under [`OutagePolicy::Stop`], the outage is certain after so many probes that were refused with unknown codes.
const REFUSED_PROBES_BEFORE_STOP: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AvailabilityState {
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
pub struct EndedOutage {
    pub lasted: Duration,
}

impl Availability {
    pub fn new(reconnect_interval: Duration, policy: OutagePolicy) -> Self {
        Self {
            reconnect_interval,
            policy,
            state: AvailabilityState::Available,
            refused_probes: 0,
        }
    }

    pub fn is_available(&self) -> bool {
        self.state == AvailabilityState::Available
    }

    /// Whether MongoDB is unavailable, and the documents can't be the cause.
    pub fn is_certainly_unavailable(&self) -> bool {
        match self.state {
            AvailabilityState::Available => false,
            AvailabilityState::Unavailable { cause, .. } => cause != OutageCause::UnknownRefusals,
        }
    }

    /// Asks for permission to write, or to send a ping.
    pub fn permit(&mut self, caller: Caller, now: Instant) -> Permit {
        let permit = self.permit_now(caller, now);
        if let (Permit::Probe, AvailabilityState::Unavailable { probe_at, .. }) =
            (permit, &mut self.state)
        {
            *probe_at = None;
        }
        permit
    }

    /// The answer that [`Availability::permit`] would give. It permits nothing yet.
    pub fn permit_now(&self, caller: Caller, now: Instant) -> Permit {
        let AvailabilityState::Unavailable {
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
    pub fn succeeded(&mut self, now: Instant) -> Option<EndedOutage> {
        let AvailabilityState::Unavailable { since, .. } = self.state else {
            return None;
        };
        self.state = AvailabilityState::Available;
        self.refused_probes = 0;
        Some(EndedOutage {
            lasted: now.saturating_duration_since(since),
        })
    }

    /// A ping was answered. This ends only an outage in which no server answered.
    pub fn ping_succeeded(&mut self, now: Instant) -> Option<EndedOutage> {
        match self.state {
            AvailabilityState::Unavailable {
                cause: OutageCause::NoAnswer,
                ..
            } => self.succeeded(now),
            AvailabilityState::Available | AvailabilityState::Unavailable { .. } => {
                self.probe_ended(now);
                None
            }
        }
    }

    /// A probe ended without a result: the next one is due after the interval.
    pub fn probe_ended(&mut self, now: Instant) {
        if let AvailabilityState::Unavailable { probe_at, .. } = &mut self.state {
            probe_at.get_or_insert(now + self.reconnect_interval);
        }
    }

    /// The attempts were used up, or a probe failed.
    pub fn failed(&mut self, cause: OutageCause, now: Instant) -> FailureEffect {
        let next_probe = now + self.reconnect_interval;
        let AvailabilityState::Unavailable {
            since,
            cause: earlier,
            probe_at,
        } = self.state
        else {
            self.state = AvailabilityState::Unavailable {
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
        self.state = AvailabilityState::Unavailable {
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
