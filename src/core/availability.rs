//! Whether MongoDB takes writes, as the writers learn it: a pure state machine; time is an argument.

use std::time::{Duration, Instant};

/// Closed: writes go through. Open: MongoDB is unavailable, and one probe at a time is let through
/// every `reconnect_interval`.
#[derive(Debug)]
pub struct Availability {
    reconnect_interval: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { since: Instant, probe_at: Instant },
    Probing { since: Instant },
}

/// Whether a write may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// MongoDB is available.
    Write,
    /// It isn't, and this caller is the probe: it must report what comes of it.
    Probe,
    /// It isn't; ask again after this time.
    Wait(Duration),
}

/// An outage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub lasted: Duration,
}

impl Availability {
    #[must_use]
    pub fn new(reconnect_interval: Duration) -> Self {
        Self {
            reconnect_interval,
            state: State::Closed,
        }
    }

    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == State::Closed
    }

    /// Asks for leave to write.
    pub fn permit(&mut self, now: Instant) -> Permit {
        match self.state {
            State::Closed => Permit::Write,
            State::Open { since, probe_at } if now >= probe_at => {
                self.state = State::Probing { since };
                Permit::Probe
            }
            State::Open { probe_at, .. } => Permit::Wait(probe_at.saturating_duration_since(now)),
            State::Probing { .. } => Permit::Wait(self.reconnect_interval),
        }
    }

    /// The server took a write, or answered one on its merits. Says what ended, if this ended it.
    pub fn succeeded(&mut self, now: Instant) -> Option<Outage> {
        let since = match self.state {
            State::Closed => return None,
            State::Open { since, .. } | State::Probing { since } => since,
        };
        self.state = State::Closed;
        Some(Outage {
            lasted: now.saturating_duration_since(since),
        })
    }

    /// A probe ended without an answer either way: the next one is due after the interval.
    pub fn probe_ended(&mut self, now: Instant) {
        if let State::Probing { since } = self.state {
            let probe_at = now + self.reconnect_interval;
            self.state = State::Open { since, probe_at };
        }
    }

    /// The attempts were used up, or a probe failed. Says whether this began an outage.
    pub fn failed(&mut self, now: Instant) -> bool {
        let probe_at = now + self.reconnect_interval;
        let (since, began) = match self.state {
            State::Closed => (now, true),
            State::Open { since, .. } | State::Probing { since } => (since, false),
        };
        self.state = State::Open { since, probe_at };
        began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn writes_go_through_while_closed() {
        let now = Instant::now();
        let mut availability = Availability::new(INTERVAL);
        assert_eq!(availability.permit(now), Permit::Write);
        assert_eq!(availability.succeeded(now), None);
    }

    #[test]
    fn an_outage_lets_one_probe_through_each_interval() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL);
        assert!(
            availability.failed(start),
            "the first failure begins the outage"
        );
        assert!(!availability.failed(start), "the second one is part of it");
        assert_eq!(availability.permit(start), Permit::Wait(INTERVAL));
        let due = start + INTERVAL;
        assert_eq!(availability.permit(due), Permit::Probe);
        assert!(
            matches!(availability.permit(due), Permit::Wait(_)),
            "one probe at a time"
        );
        assert!(!availability.failed(due));
        assert_eq!(availability.permit(due), Permit::Wait(INTERVAL));
        let later = due + INTERVAL;
        assert_eq!(availability.permit(later), Permit::Probe);
        let outage = availability.succeeded(later).expect("the outage ends");
        assert_eq!(outage.lasted, INTERVAL * 2);
        assert_eq!(availability.permit(later), Permit::Write);
    }

    #[test]
    fn a_probe_without_an_answer_leaves_room_for_the_next() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL);
        availability.probe_ended(start);
        assert!(availability.is_available(), "there was no probe");
        availability.failed(start);
        let due = start + INTERVAL;
        assert_eq!(availability.permit(due), Permit::Probe);
        availability.probe_ended(due);
        assert_eq!(availability.permit(due), Permit::Wait(INTERVAL));
        assert_eq!(availability.permit(due + INTERVAL), Permit::Probe);
    }

    #[test]
    fn a_late_failure_of_an_old_attempt_puts_the_probe_off_but_keeps_the_outage() {
        let start = Instant::now();
        let mut availability = Availability::new(INTERVAL);
        availability.failed(start);
        assert!(!availability.failed(start + INTERVAL / 2));
        assert!(matches!(
            availability.permit(start + INTERVAL),
            Permit::Wait(_)
        ));
        assert_eq!(availability.permit(start + INTERVAL * 3 / 2), Permit::Probe);
    }
}
