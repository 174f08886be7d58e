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
fn while_the_suspects_may_be_the_cause_other_documents_are_written_and_suspects_are_the_probe() {
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
fn a_server_error_makes_an_outage_certain_and_an_unknown_code_does_not() {
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
