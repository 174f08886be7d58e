//! Errors that the server may return for an insert, and what the worker must do about each.

use std::time::{Duration, Instant};

use bson::{Document, doc};

use super::{
    assert_committed_is_settled, dead_lettered, is_available, settled, stored,
    worker_with_short_timeouts,
};
use crate::harness::{MINUTE, Producer, SHORT, World, metric};

const COUNT: u64 = 50;

fn insert_fails(code: i32) -> Document {
    doc! { "failCommands": ["insert"], "errorCode": code }
}

/// Faults from which a server recovers by itself, with their names.
fn temporary_faults() -> Vec<(String, Document)> {
    // Shutdown, elections, interruptions, a full disk, an error of a proxy, and an unknown code.
    let codes = [
        6, 89, 91, 112, 189, 262, 8000, 9001, 10107, 11600, 11602, 13435, 14031, 77777,
    ];
    let mut faults: Vec<_> = codes
        .into_iter()
        .map(|code| (format!("code {code}"), insert_fails(code)))
        .collect();
    faults.push((
        "a torn connection".to_owned(),
        doc! { "failCommands": ["insert"], "closeConnection": true },
    ));
    faults.push((
        "a write concern that failed".to_owned(),
        doc! { "failCommands": ["insert"], "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
    ));
    faults
}

#[test]
fn temporary_errors_cause_neither_loss_nor_dead_letters() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    // Three attempts, as by default. The driver checks more often than by default whether a server is primary
    // again.
    let mut worker = worker_with_short_timeouts(&world)
        .set("consumer.max_retries", 3)
        .set("consumer.retry_backoff_ms", 50)
        .start();
    worker.wait_ready();
    let point = world.fail_point("off", doc! {});
    let mut first = 0;
    for (name, fault) in temporary_faults() {
        point.set(&world.app_name, doc! { "times": 2 }, fault);
        producer.fill(first..first + COUNT, 1);
        first += COUNT;
        let total = i64::from(u32::try_from(first).unwrap());
        worker.wait_until(&format!("all is settled after {name}"), SHORT, |metrics| {
            settled(metrics) == total
        });
    }
    drop(point);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn lasting_server_error_redirects_until_it_ends() {
    redirects_while(insert_fails(14031));
}

#[test]
fn unknown_error_for_every_record_is_an_outage() {
    redirects_while(insert_fails(77777));
}

#[test]
fn unknown_error_that_begins_after_other_inserts_is_an_outage() {
    const REASON: &str = "mongodb_unavailable";
    let world = World::with_own_mongodb(2);
    let producer = Producer::new(&world);
    let mut worker = worker_with_short_timeouts(&world)
        .set("consumer.retry_backoff_ms", 4000)
        .start();
    worker.wait_ready();
    // One batch waits for its second attempt.
    let point = world.fail_point(doc! { "times": 1 }, insert_fails(11600));
    producer.fill(0..COUNT, 1);
    worker.wait_until("the insert is retried", SHORT, |metrics| {
        metrics.sum(metric::MONGODB_RETRIES) == 1
    });
    // Meanwhile another one is stored. After that every insert fails.
    let before = stored(&worker.metrics());
    producer.send_now(producer.numbered(COUNT, 1, 0).partition(1));
    worker.wait_until("another one is stored", SHORT, |metrics| {
        stored(metrics) > before
    });
    point.set(&world.app_name, "alwaysOn", insert_fails(77777));
    worker.wait_until("the first one is redirected", MINUTE, |metrics| {
        dead_lettered(metrics, REASON) > 0
    });
    drop(point);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let report = world.check_allowing(&[REASON]);
    assert!(report.dead_lettered > 0);
}

#[test]
fn permanently_torn_connections_are_an_outage() {
    redirects_while(doc! { "failCommands": ["insert"], "closeConnection": true });
}

#[test]
fn outage_that_began_with_a_refused_write_is_ended_by_a_write_and_not_by_a_ping() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.reconnect_interval_ms", 50)
        .start();
    worker.wait_ready();
    let point = world.fail_point("alwaysOn", insert_fails(14031));
    producer.fill(0..COUNT, 1);
    worker.wait_until("messages are redirected", MINUTE, |metrics| {
        dead_lettered(metrics, "mongodb_unavailable") == 50
    });
    // The idle worker has had many occasions for a ping.
    let until = Instant::now() + Duration::from_secs(3);
    worker.wait_until("three seconds are over", SHORT, |metrics| {
        assert!(!is_available(metrics), "a ping ended the outage");
        Instant::now() > until
    });
    assert_eq!(worker.get("/ready").0, 503);
    drop(point);
    producer.send_now(producer.numbered(COUNT, 1, 0));
    worker.wait_until("MongoDB counts as available again", SHORT, is_available);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(super::assert_one_outage(&worker), 50);
    world.check_allowing(&["mongodb_unavailable"]);
}

/// The fault must count as an outage: messages are redirected for `mongodb_unavailable` and for no other reason.
fn redirects_while(mut fault: Document) {
    const REASON: &str = "mongodb_unavailable";
    // An idle worker checks by a ping whether MongoDB is back: that must fail as well, or the outage could end
    // between two messages.
    fault.insert("failCommands", ["insert", "ping"].as_slice());
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    let mut worker = worker_with_short_timeouts(&world).start();
    worker.wait_ready();
    let point = world.fail_point("alwaysOn", fault);
    producer.fill(0..COUNT, 1);
    worker.wait_until("messages are redirected", MINUTE, |metrics| {
        dead_lettered(metrics, REASON) == 50
    });
    // A record that is alone in its batch is treated in the same way.
    producer.send_now(producer.numbered(COUNT, 1, 0));
    worker.wait_until("a lone message is redirected", MINUTE, |metrics| {
        dead_lettered(metrics, REASON) == 51
    });
    drop(point);
    // A write shows that MongoDB takes writes again. It may be redirected itself, if no probe is due.
    let mut next = COUNT + 1;
    worker.wait_until("MongoDB counts as available again", SHORT, |metrics| {
        if !is_available(metrics) {
            producer.send_now(producer.numbered(next, 1, 0));
            next += 1;
        }
        is_available(metrics)
    });
    producer.fill(next..next + 100, 1);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let report = world.check_allowing(&[REASON]);
    assert!(report.stored >= 100, "{report:?}");
    assert_eq!(super::assert_one_outage(&worker), report.dead_lettered);
}

#[test]
fn lasting_server_error_is_waited_out_in_pause_mode() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.on_unavailable", "pause")
        .start();
    worker.wait_ready();
    let point = world.fail_point("alwaysOn", insert_fails(77777));
    producer.fill(0..COUNT, 1);
    worker.wait_until("MongoDB counts as unavailable", MINUTE, |metrics| {
        !is_available(metrics)
    });
    drop(point);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.check().stored, 50);
}

#[test]
fn failed_write_concern_settles_nothing() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.on_unavailable", "pause")
        .start();
    worker.wait_ready();
    let point = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
    );
    producer.fill(0..COUNT, 1);
    worker.wait_until("MongoDB counts as unavailable", MINUTE, |metrics| {
        !is_available(metrics)
    });
    assert_eq!(world.stored().count(), 50, "the documents are in MongoDB");
    assert_eq!(
        settled(&worker.metrics()),
        0,
        "but no message counts as settled"
    );
    assert_eq!(world.committed()[&0], Some(0));
    drop(point);
    world.wait_committed_to_end(SHORT);
    let metrics = worker.metrics();
    worker.stop();
    assert_eq!(metrics.sum(metric::REPLAYED), 50);
    assert_eq!(world.check().stored, 50);
}

#[test]
fn missing_privilege_exits_with_4_and_dead_letters_nothing() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    let setup = world.worker();
    let mut worker = setup.start();
    producer.fill(0..COUNT, 1);
    world.wait_committed_to_end(SHORT);
    let point = world.fail_point("alwaysOn", insert_fails(13));
    producer.fill(COUNT..2 * COUNT, 1);
    assert_eq!(worker.wait_exit(SHORT).code(), Some(4));
    drop(point);
    assert_eq!(world.committed()[&0], Some(50));
    assert_committed_is_settled(&world);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(stored_and_dead(&world), (100, 0));
}

#[test]
fn failed_read_back_is_retried() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    producer.fill(0..COUNT, 1);
    let mut worker = world.worker().set("consumer.retry_backoff_ms", 50).start();
    world.wait_committed_to_end(SHORT);
    let point = world.fail_point(
        doc! { "times": 2 },
        doc! { "failCommands": ["find"], "errorCode": 77777 },
    );
    producer.fill(0..COUNT, 1);
    worker.wait_until("the replays are settled", SHORT, |metrics| {
        settled(metrics) == 100
    });
    drop(point);
    assert_eq!(stored(&worker.metrics()), 50);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 0);
}

#[test]
fn unknown_error_that_ends_during_the_search_rejects_no_record() {
    let world = World::with_own_mongodb(1);
    Producer::new(&world).fill(0..COUNT, 1);
    // The batch fails twice, then parts of 25, 12, 6, 3 and 1: the last failure is that of a single record.
    let point = world.fail_point(doc! { "times": 7 }, insert_fails(77777));
    let mut worker = worker_with_short_timeouts(&world)
        .set("consumer.writer_threads", 1)
        .start();
    world.wait_committed_to_end(SHORT);
    drop(point);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(stored_and_dead(&world), (50, 0));
}

fn stored_and_dead(world: &World) -> (i64, i64) {
    let report = world.check();
    (report.stored, report.dead_lettered)
}
