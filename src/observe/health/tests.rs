use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn alive_while_the_last_beat_is_recent() {
    let start = Instant::now();
    for (beat, asked, status, last_poll_ms) in [
        (None, 0, LivenessStatus::Alive, None),
        (None, 59, LivenessStatus::Alive, None),
        (None, 60, LivenessStatus::Hanging, None),
        (Some(0), 0, LivenessStatus::Alive, Some(0)),
        (Some(10), 69, LivenessStatus::Alive, Some(59_000)),
        (Some(10), 70, LivenessStatus::Hanging, Some(60_000)),
        // The reader read the clock just before the beat.
        (Some(10), 9, LivenessStatus::Alive, Some(0)),
    ] {
        let health = Health::new(start, LIMIT);
        if let Some(beat) = beat {
            health.beat(after(start, beat));
        }
        let liveness = health.liveness(after(start, asked));
        let case = format!("beat {beat:?}, asked {asked}");
        assert_eq!(liveness.status, status, "{case}");
        assert_eq!(liveness.last_poll_ms, last_poll_ms, "{case}");
    }
}

#[test]
fn a_beat_after_a_hang_makes_it_alive_again() {
    let start = Instant::now();
    let health = Health::new(start, LIMIT);
    assert!(!health.liveness(after(start, 100)).is_alive());
    health.beat(after(start, 101));
    assert!(health.liveness(after(start, 102)).is_alive());
}

#[test]
fn each_poll_loop_has_to_run() {
    let start = Instant::now();
    let (health, other) = (
        Health::new(start, LIMIT),
        Arc::new(Health::new(start, LIMIT)),
    );
    health.watch_too(Arc::clone(&other));
    health.beat(after(start, 100));
    assert!(!health.liveness(after(start, 101)).is_alive());
    other.beat(after(start, 100));
    assert!(health.liveness(after(start, 101)).is_alive());
}

#[test]
fn a_dead_thread_makes_it_not_alive_for_good() {
    let start = Instant::now();
    let health = Health::new(start, LIMIT);
    health.beat(start);
    health.thread_died("writer-2");
    health.beat(after(start, 1));
    let liveness = health.liveness(after(start, 1));
    assert!(!liveness.is_alive());
    assert_eq!(
        serde_json::to_string(&liveness).unwrap(),
        r#"{"status":"thread_died","last_poll_ms":0,"dead_threads":["writer-2"]}"#
    );
}

fn ready() -> Health {
    let health = Health::new(Instant::now(), LIMIT);
    health.set_kafka_reachable(true);
    health.set_mongodb_available(true);
    health.set_topic_exists(true);
    health.set_assigned_partitions(vec![2, 0]);
    health
}

#[test]
fn ready_when_nothing_is_missing() {
    assert_eq!(
        serde_json::to_string(&ready().readiness()).unwrap(),
        r#"{"ready":true,"assigned_partitions":[0,2],"kafka":true,"mongodb":true,"topic":true,"paused":false,"stalled_partitions":[],"reasons":[]}"#
    );
}

fn pause() -> Pause {
    Pause {
        since: "2026-01-01T00:00:00Z".to_owned(),
        by: "somebody".to_owned(),
        reason: None,
        is_flood: false,
    }
}

#[test]
fn the_state_is_the_first_that_applies() {
    type Change = fn(&Health);
    let health = Health::new(Instant::now(), LIMIT);
    let steps: [(Change, State); 10] = [
        (|h| h.set_kafka_reachable(true), State::Starting),
        (|h| h.set_topic_exists(true), State::Starting),
        (
            |h| h.set_assigned_partitions(vec![]),
            State::MongodbUnavailable,
        ),
        (|h| h.set_mongodb_available(true), State::Standby),
        (|h| h.set_assigned_partitions(vec![1]), State::Running),
        (|h| h.set_stalled_partitions(vec![1]), State::Stalled),
        (|h| h.set_pause(Some(pause())), State::Paused),
        (|h| h.set_topic_exists(false), State::TopicMissing),
        (|h| h.set_kafka_reachable(false), State::KafkaUnreachable),
        (Health::set_stopping, State::Stopping),
    ];
    for (number, (change, state)) in steps.into_iter().enumerate() {
        let before = health.condition();
        change(&health);
        let after = health.condition();
        assert_eq!(after.state, state, "step {number}");
        if before.state == state {
            assert_eq!(after.state_since, before.state_since, "step {number}");
        }
    }
}

#[test]
fn each_obstacle_alone_makes_it_not_ready() {
    type Change = fn(&Health);
    let table: [(Change, &str); 6] = [
        (|h| h.set_kafka_reachable(false), "kafka is not reachable"),
        (
            |h| h.set_mongodb_available(false),
            "mongodb is not available",
        ),
        (
            |h| h.set_topic_exists(false),
            "the source topic does not exist",
        ),
        (
            |h| h.set_stalled_partitions(vec![2]),
            "a partition has work and does not move on",
        ),
        (
            |h| h.set_pause(Some(pause())),
            "an operator has paused the worker",
        ),
        (Health::set_stopping, "the worker is stopping"),
    ];
    for (change, reason) in table {
        let health = ready();
        change(&health);
        let readiness = health.readiness();
        assert!(!readiness.ready, "{reason}");
        assert_eq!(readiness.reasons, [reason]);
        assert!(health.liveness(Instant::now()).is_alive(), "{reason}");
    }
}

#[test]
fn standby_without_partitions_is_ready() {
    let health = ready();
    health.set_assigned_partitions(Vec::new());
    assert!(health.readiness().ready);
}

#[test]
fn a_new_worker_lists_every_obstacle() {
    let readiness = Health::new(Instant::now(), LIMIT).readiness();
    assert!(!readiness.ready);
    assert_eq!(readiness.assigned_partitions, None);
    assert_eq!(readiness.reasons.len(), 4);
}
