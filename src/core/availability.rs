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

/// Available: writes go through. Unavailable: one probe at a time is let through every
/// `reconnect_interval`.
#[derive(Debug)]
pub struct Availability {
    reconnect_interval: Duration,
    policy: OutagePolicy,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Available,
    Unavailable { since: Instant, probe_at: Instant },
    Probing { since: Instant },
}

/// Whether a write may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// MongoDB is available.
    Write,
    /// MongoDB is unavailable, and this caller is the probe: it must report the result.
    Probe,
    /// MongoDB is unavailable: do what the policy says.
    Denied,
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
        }
    }

    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }

    /// Asks for permission to write.
    pub fn permit(&mut self, now: Instant) -> Permit {
        match self.state {
            State::Available => Permit::Write,
            State::Unavailable { since, probe_at }
                if self.policy != OutagePolicy::Stop && now >= probe_at =>
            {
                self.state = State::Probing { since };
                Permit::Probe
            }
            State::Unavailable { .. } | State::Probing { .. } => Permit::Denied,
        }
    }

    /// The server took a write, or judged one by itself. Returns the outage that this ended, if any.
    pub fn succeeded(&mut self, now: Instant) -> Option<Outage> {
        let since = match self.state {
            State::Available => return None,
            State::Unavailable { since, .. } | State::Probing { since } => since,
        };
        self.state = State::Available;
        Some(Outage {
            lasted: now.saturating_duration_since(since),
        })
    }

    /// A probe ended without a result: the next one is due after the interval.
    pub fn probe_ended(&mut self, now: Instant) {
        if let State::Probing { since } = self.state {
            let probe_at = now + self.reconnect_interval;
            self.state = State::Unavailable { since, probe_at };
        }
    }

    /// The attempts were used up, or a probe failed. Returns whether this began an outage.
    pub fn failed(&mut self, now: Instant) -> bool {
        let probe_at = now + self.reconnect_interval;
        let (since, began) = match self.state {
            State::Available => (now, true),
            State::Unavailable { since, .. } | State::Probing { since } => (since, false),
        };
        self.state = State::Unavailable { since, probe_at };
        began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn writes_are_permitted_while_mongodb_is_available() {
        let now = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        assert_eq!(availability.permit(now), Permit::Write);
        assert_eq!(availability.succeeded(now), None);
    }

    #[test]
    fn an_outage_lets_one_probe_through_each_interval() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        assert!(
            availability.failed(start),
            "the first failure begins the outage"
        );
        assert!(!availability.failed(start), "the second one is part of it");
        assert_eq!(availability.permit(start), Permit::Denied);
        let due = start + INTERVAL;
        assert_eq!(availability.permit(due), Permit::Probe);
        assert!(
            matches!(availability.permit(due), Permit::Denied),
            "one probe at a time"
        );
        assert!(!availability.failed(due));
        assert_eq!(availability.permit(due), Permit::Denied);
        let later = due + INTERVAL;
        assert_eq!(availability.permit(later), Permit::Probe);
        let outage = availability.succeeded(later).expect("the outage ends");
        assert_eq!(outage.lasted, INTERVAL * 2);
        assert_eq!(availability.permit(later), Permit::Write);
    }

    #[test]
    fn a_probe_without_a_result_is_followed_by_the_next() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        availability.probe_ended(start);
        assert!(availability.is_available(), "there was no probe");
        availability.failed(start);
        let due = start + INTERVAL;
        assert_eq!(availability.permit(due), Permit::Probe);
        availability.probe_ended(due);
        assert_eq!(availability.permit(due), Permit::Denied);
        assert_eq!(availability.permit(due + INTERVAL), Permit::Probe);
    }

    #[test]
    fn a_late_failure_of_an_old_attempt_postpones_the_probe_and_keeps_the_outage() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Wait);
        availability.failed(start);
        assert!(!availability.failed(start + INTERVAL / 2));
        assert!(matches!(
            availability.permit(start + INTERVAL),
            Permit::Denied
        ));
        assert_eq!(availability.permit(start + INTERVAL * 3 / 2), Permit::Probe);
    }

    #[test]
    fn under_the_stop_policy_nothing_probes() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL, OutagePolicy::Stop);
        assert_eq!(availability.permit(start), Permit::Write);
        availability.failed(start);
        assert_eq!(availability.permit(start + INTERVAL * 100), Permit::Denied);
    }
}
