//! Killed workers lose nothing and store nothing twice.

use crate::harness::{MINUTE, Message, Producer, SHORT, World, metric};

#[test]
fn repeated_kills_lose_nothing() {
    const KILLS: usize = 5;
    const COUNT: i64 = 60_000;
    let world = World::new(6);
    let producer = Producer::new(&world);
    for number in 0..60_000 {
        producer.send(producer.numbered(number, 6, 0));
        if number % 100 == 0 {
            let value = format!("not JSON: {number}");
            producer.send(Message::refused(value, "invalid_json"));
        }
    }
    producer.flush();
    let setup = world
        .worker()
        // The group notices a killed member soon, and the worker is slow enough to be killed in the middle.
        .consumer_property("session.timeout.ms", "2000")
        .consumer_property("heartbeat.interval.ms", "300")
        .set("consumer.batch_size", 20)
        .set("consumer.writer_threads", 4)
        .set("consumer.offset_commit_frequency", 100);
    for kill in 1..=KILLS {
        let mut worker = setup.start();
        let what = format!("messages are being stored before kill {kill}");
        worker.wait_until(&what, MINUTE, |metrics| metrics.sum(metric::STORED) >= 2000);
        worker.kill();
        assert!(
            world.stored().count() < COUNT,
            "everything was stored before kill {kill}"
        );
    }
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (60_000, 600));
}

#[test]
fn messages_stored_before_a_kill_count_as_already_stored() {
    let world = World::new(3);
    let producer = Producer::new(&world);
    // It commits the starting offsets at once, and nothing more before it is killed.
    let setup = world
        .worker()
        .consumer_property("session.timeout.ms", "2000")
        .consumer_property("heartbeat.interval.ms", "300")
        .set("consumer.offset_commit_frequency", 1_000_000)
        .set("consumer.offset_commit_interval_ms", 3_600_000);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    producer.fill(0..5000, 3);
    worker.wait_until("all is stored", MINUTE, |metrics| {
        metrics.sum(metric::STORED) == 5000
    });
    worker.kill();
    let committed = world.committed();
    assert!(
        committed.values().all(|offset| *offset == Some(0)),
        "{committed:?}"
    );
    producer.send_now(Message::refused("{", "invalid_json"));
    let mut worker = setup.start();
    let metrics = worker.wait_until("all is settled again", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) == 5001
    });
    assert_eq!(metrics.sum(metric::REPLAYED), 5000);
    assert_eq!(metrics.sum(metric::STORED), 0);
    worker.stop();
    world.wait_committed_to_end(MINUTE);
    assert_eq!(world.check().stored, 5000);
}
