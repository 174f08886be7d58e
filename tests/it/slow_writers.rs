//! MongoDB is slower than Kafka: the worker stops consuming, and stays a member of its group.

use bson::doc;

use crate::harness::{MINUTE, Producer, SHORT, World, metric};

#[test]
fn worker_with_slow_writes_stays_within_its_memory_limit_and_its_group() {
    const COUNT: i64 = 10_000;
    const PADDING: usize = 30_000;
    const MEMORY: i64 = 350_000_000;
    let world = World::with_own_mongodb(3);
    Producer::new(&world).fill_padded(0..10_000, 3, PADDING);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 5000 };
    let fail_point = world.fail_point("alwaysOn", block);
    let mut worker = world
        .worker()
        .consumer_property("max.poll.interval.ms", "10000")
        .consumer_property("session.timeout.ms", "6000")
        .start();
    let mut memory: i64 = 0;
    worker.wait_until("it pauses", MINUTE, |metrics| {
        memory = memory.max(metrics.sum(metric::RESIDENT_MEMORY));
        metrics.sum(metric::PAUSED) == 1
    });
    // Four rounds of eight writers take twice `max.poll.interval.ms`.
    worker.wait_until("32 inserts are done", MINUTE, |metrics| {
        memory = memory.max(metrics.sum(metric::RESIDENT_MEMORY));
        metrics.observations(metric::WRITE_TIME) >= 32
    });
    let (status, body) = worker.get("/health");
    assert_eq!(status, 200, "{body}");
    assert!(memory < MEMORY, "took {memory} bytes");
    assert!(worker.is_ready(), "a slow MongoDB counts as available");
    drop(fail_point);
    let metrics = worker.wait_until("all is settled", MINUTE, |metrics| {
        memory = memory.max(metrics.sum(metric::RESIDENT_MEMORY));
        metrics.sum(metric::PROCESSED) == COUNT
    });
    assert!(memory < MEMORY, "took {memory} bytes");
    assert_eq!(metrics.sum(metric::POLL_INTERVAL_EXCEEDED), 0);
    assert_eq!(
        metrics.get(metric::REBALANCES, &[("event", "assign")]),
        Some(1)
    );
    assert_eq!(
        metrics.sum(metric::REBALANCES),
        1,
        "a worker was removed from the group"
    );
    worker.wait_until("consumption is no longer paused", SHORT, |metrics| {
        metrics.sum(metric::PAUSED) == 0 && metrics.sum(metric::IN_FLIGHT_MESSAGES) == 0
    });
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, COUNT);
}

#[test]
fn messages_in_flight_stay_within_the_limit() {
    let world = World::with_own_mongodb(3);
    Producer::new(&world).fill(0..5000, 3);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 200 };
    let fail_point = world.fail_point("alwaysOn", block);
    let mut worker = world
        .worker()
        .set("consumer.batch_size", 50)
        .set("consumer.max_in_flight_messages", 120)
        .start();
    let mut most: i64 = 0;
    worker.wait_until("ten inserts are done", MINUTE, |metrics| {
        most = most.max(metrics.sum(metric::IN_FLIGHT_MESSAGES));
        metrics.observations(metric::WRITE_TIME) >= 10
    });
    assert!((50..=120).contains(&most), "{most} in flight");
    drop(fail_point);
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 5000);
}
