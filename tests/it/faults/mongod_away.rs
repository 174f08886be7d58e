//! mongod is killed or frozen under load. Messages are redirected or kept, as configured, and everything is
//! settled after mongod is back.

use super::{
    OUTAGE, assert_one_outage, dead_lettered, is_available, settled, stored, wait_for_more_stored,
    worker_with_short_timeouts,
};
use crate::harness::{
    Background, DeadLetter, MINUTE, Only, OwnServers, Signal, Worker, World, metric,
};

const PARTITIONS: i32 = 2;
const PER_SECOND: u64 = 200;
/// The most messages that the writers are inserting when mongod fails. Only of these it may be unknown whether
/// they were stored.
const IN_HAND: i64 = 8 * 100;
const REASON: &str = "mongodb_unavailable";

#[derive(Debug, Clone, Copy)]
enum Away {
    Killed,
    Frozen,
}

impl Away {
    fn begin(self, mongod: &OwnServers) {
        mongod.signal(
            "mongodb",
            match self {
                Self::Killed => Signal::Kill,
                Self::Frozen => Signal::Stop,
            },
        );
    }

    fn end(self, mongod: &OwnServers) {
        match self {
            Self::Killed => mongod.restart(),
            Self::Frozen => mongod.signal("mongodb", Signal::Cont),
        }
    }
}

#[test]
fn messages_are_redirected_while_mongod_is_dead() {
    redirects("faults-dead-redirect", Away::Killed);
}

#[test]
fn messages_are_redirected_while_mongod_is_frozen() {
    redirects("faults-frozen-redirect", Away::Frozen);
}

#[test]
fn messages_wait_while_mongod_is_dead() {
    waits("faults-dead-wait", Away::Killed);
}

#[test]
fn messages_wait_while_mongod_is_frozen() {
    waits("faults-frozen-wait", Away::Frozen);
}

#[test]
fn short_outage_is_covered_by_retries() {
    let mongod = OwnServers::start("faults-short-outage", Only::Mongodb);
    let world = World::on(mongod.servers(), PARTITIONS);
    let mut worker = world.worker().start();
    let load = Background::start(&world, 0, PER_SECOND, PARTITIONS);
    wait_for_more_stored(&mut worker, 200);
    mongod.signal("mongodb", Signal::Kill);
    worker.wait_until("an insert is tried again", OUTAGE, |metrics| {
        metrics.sum(metric::MONGODB_RETRIES) >= 1
    });
    mongod.restart();
    wait_for_more_stored(&mut worker, 200);
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    world.check();
}

/// With `on_unavailable: dead_letter`, the default.
fn redirects(instance: &str, away: Away) {
    let mongod = OwnServers::start(instance, Only::Mongodb);
    let world = World::on(mongod.servers(), PARTITIONS);
    let mut worker = worker_with_short_timeouts(&world).start();
    let load = Background::start(&world, 0, PER_SECOND, PARTITIONS);
    wait_for_more_stored(&mut worker, 200);

    away.begin(&mongod);
    worker.wait_until("MongoDB counts as unavailable", OUTAGE, |metrics| {
        !is_available(metrics)
    });
    assert_away(&mut worker);
    worker.wait_until("messages are redirected", OUTAGE, |metrics| {
        dead_lettered(metrics, REASON) >= 1000
    });
    assert_away(&mut worker);
    assert_eq!(worker.get("/health").0, 200);

    away.end(&mongod);
    worker.wait_until("MongoDB counts as available", OUTAGE, is_available);
    worker.wait_ready();
    wait_for_more_stored(&mut worker, 500);
    let produced = load.stop();
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.wait_until("all is settled", MINUTE, |metrics| {
        settled(metrics) >= produced
    });
    worker.stop();

    let redirected = assert_one_outage(&worker);
    let report = world.check_allowing(&[REASON]);
    assert_eq!(redirected, report.dead_lettered);
    let letters = world.dead_letters();
    assert_eq!(i64::try_from(letters.len()).unwrap(), report.dead_lettered);
    for letter in &letters {
        let error = letter.header("dlq.error");
        assert!(
            error.starts_with("MongoDB was unavailable: ") && error.len() > 30,
            "the cause is named: {error}"
        );
    }
    let with_attempts = |attempts| {
        let of_letter = |letter: &&DeadLetter| letter.header("dlq.attempts") == attempts;
        letters.iter().filter(of_letter).count()
    };
    // The first batches were inserted twice, a probe once, and the others were redirected without an insert.
    assert!(with_attempts("2") > 0);
    assert!(with_attempts("0") > with_attempts("2"));
    let others = letters.len() - with_attempts("0") - with_attempts("1") - with_attempts("2");
    assert_eq!(others, 0);
    assert!(report.both <= IN_HAND, "{report:?}");
    let replayed = metrics.sum(metric::REPLAYED);
    let ends = stored(&metrics) + replayed + dead_lettered(&metrics, REASON);
    assert_eq!(ends, produced, "each settled once");
}

/// With `on_unavailable: pause`.
fn waits(instance: &str, away: Away) {
    let mongod = OwnServers::start(instance, Only::Mongodb);
    let world = World::on(mongod.servers(), PARTITIONS);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.on_unavailable", "pause")
        .start();
    let load = Background::start(&world, 0, PER_SECOND, PARTITIONS);
    wait_for_more_stored(&mut worker, 200);

    away.begin(&mongod);
    worker.wait_until("MongoDB counts as unavailable", OUTAGE, |metrics| {
        !is_available(metrics)
    });
    assert_away(&mut worker);
    let metrics = worker.wait_until("consumption is paused", OUTAGE, |metrics| {
        metrics.sum(metric::PAUSED) == 1
    });
    let consumed = metrics.sum(metric::CONSUMED);
    let beyond = load.sent() + 1000;
    worker.wait_for("much more is produced", OUTAGE, |_| {
        (load.sent() >= beyond).then_some(())
    });
    let metrics = worker.metrics();
    assert_eq!(
        metrics.sum(metric::CONSUMED),
        consumed,
        "nothing is consumed while paused"
    );
    // The lag goes on growing, although nothing is fetched.
    let waiting = beyond - consumed;
    worker.wait_until("the lag has grown", MINUTE, |metrics| {
        metrics.sum(metric::LAG) >= waiting
    });
    assert_eq!(worker.get("/health").0, 200);
    assert_eq!(world.members(), 1);

    away.end(&mongod);
    worker.wait_until("MongoDB counts as available", OUTAGE, is_available);
    worker.wait_ready();
    wait_for_more_stored(&mut worker, 500);
    load.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();

    assert_eq!(assert_one_outage(&worker), 0);
    let report = world.check();
    assert_eq!(report.stored, world.ledger.len());
}

/// Checks what the HTTP pages show while MongoDB is unavailable.
#[track_caller]
fn assert_away(worker: &mut Worker) {
    assert_eq!(worker.get("/ready").0, 503);
    assert_eq!(worker.get("/health").0, 200);
    let metrics = worker.metrics();
    assert!(!is_available(&metrics));
    let target = [("target", "mongodb")];
    assert_eq!(metrics.get(metric::ACTIVE_CONNECTIONS, &target), Some(0));
}
