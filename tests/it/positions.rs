//! Where a group starts to read, and what it does where those records no longer exist.

use serde_json::Value;

use crate::harness::{
    Fate, MINUTE, Producer, SHORT, Servers, Signal, World, metric, wait_for_commits,
};

#[test]
fn latest_start_is_committed_at_once_so_that_a_crash_skips_nothing() {
    let world = World::new(2);
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    world.ledger.change_fate(|_| true, Fate::Absent);
    let setup = world
        .worker()
        .set("kafka.auto_offset_reset", "latest")
        .consumer_property("session.timeout.ms", "2000")
        .consumer_property("heartbeat.interval.ms", "300");
    let mut worker = setup.start();
    wait_for_commits(&world, &[50, 50]);
    worker.kill();
    producer.fill(100..200, 2);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 100);
}

#[test]
fn earliest_start_is_committed_at_once() {
    let world = World::new(3);
    let producer = Producer::new(&world);
    producer.fill(0..30, 3);
    world.admin.delete_records(&world.topic, 0, 10);
    world
        .ledger
        .change_fate(|entry| entry.partition == 0, Fate::Absent);
    // Two partitions start later than offset 0.
    world.admin.delete_records(&world.topic, 1, 10);
    world
        .ledger
        .change_fate(|entry| entry.partition < 2, Fate::Absent);
    let mut worker = world.worker().start();
    wait_for_commits(&world, &[10, 10, 10]);
    let metrics = worker.metrics();
    assert_eq!(
        metrics.sum(metric::OFFSETS_SKIPPED),
        0,
        "the first start skipped offsets"
    );
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 10);
}

#[test]
fn worker_waits_for_a_missing_topic() {
    let world = World::bare(Servers::of_the_run());
    let mut worker = world.worker().start();
    let line = worker.wait_for_log("missing", SHORT);
    assert_eq!(line.level, "WARN");
    let (status, body) = worker.get("/ready");
    assert_eq!(status, 503);
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(ready["topic"], false);
    assert_eq!(worker.get("/health").0, 200);
    assert!(!world.has_topic(), "a consumer creates no topic");
    world.admin.create_topic(&world.topic, 3, &[]);
    Producer::new(&world).fill(0..100, 3);
    world.wait_committed_to_end(SHORT);
    worker.wait_ready();
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 100);
}

#[test]
fn standby_is_ready_and_takes_over() {
    let world = World::new(1);
    let mut first = world.worker().start();
    first.wait_ready();
    let mut standby = world.worker().start();
    standby.wait_ready();
    assert_eq!(standby.metrics().sum(metric::ASSIGNED_PARTITIONS), 0);
    let (_, body) = standby.get("/ready");
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(ready["assigned_partitions"], serde_json::json!([]));
    // It takes over when the first one stops.
    first.stop();
    Producer::new(&world).fill(0..10, 1);
    world.wait_committed_to_end(MINUTE);
    standby.stop();
    standby.assert_no_errors();
    assert_eq!(world.check().stored, 10);
}

#[test]
fn standby_is_ready_after_a_missing_topic_is_created() {
    let world = World::bare(Servers::of_the_run());
    let [mut first, mut standby] = [world.worker().start(), world.worker().start()];
    first.wait_for_log("missing", SHORT);
    standby.wait_for_log("missing", SHORT);
    // The standby is frozen, so that the first worker gets the only partition.
    standby.signal(Signal::Stop);
    world.admin.create_topic(&world.topic, 1, &[]);
    first.wait_ready();
    standby.signal(Signal::Cont);
    standby.wait_ready();
    for worker in [&mut first, &mut standby] {
        worker.stop();
        worker.assert_no_errors();
    }
}

#[test]
fn offsets_deleted_by_retention_are_logged_and_skipped() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    producer.fill(100..300, 1);
    world.admin.delete_records(&world.topic, 0, 250);
    world
        .ledger
        .change_fate(|entry| (100..250).contains(&entry.offset), Fate::Absent);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    assert_eq!(worker.metrics().sum(metric::OFFSETS_SKIPPED), 150);
    worker.stop();
    let errors = worker.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].msg.contains("retention"), "{}", errors[0].msg);
    let numbers = ["partition", "from", "to", "count"].map(|field| errors[0].number(field));
    assert_eq!(numbers, [Some(0), Some(100), Some(250), Some(150)]);
    assert_eq!(errors[0].text("topic"), Some(world.topic.as_str()));
    assert_eq!(world.check().stored, 150);
}

#[test]
fn deletion_of_all_unread_records_is_counted() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    producer.fill(100..300, 1);
    world.admin.delete_records(&world.topic, 0, 300);
    world
        .ledger
        .change_fate(|entry| entry.offset >= 100, Fate::Absent);
    let mut worker = world.worker().start();
    worker.wait_until("the loss is counted", SHORT, |metrics| {
        metrics.sum(metric::OFFSETS_SKIPPED) == 200
    });
    wait_for_commits(&world, &[300]);
    worker.stop();
    assert_eq!(world.check().stored, 100);
}

#[test]
fn running_worker_counts_records_deleted_by_retention() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.signal(Signal::Stop);
    // The first message is the response to the open fetch request; the others are for the next one.
    producer.fill(100..101, 1);
    producer.fill(101..300, 1);
    world.admin.delete_records(&world.topic, 0, 250);
    producer.fill(300..310, 1);
    worker.signal(Signal::Cont);
    world.wait_committed_to_end(SHORT);
    let skipped = worker.metrics().sum(metric::OFFSETS_SKIPPED);
    worker.stop();
    // The fetch that was open when the worker was frozen may have returned some of them.
    let stored = world.stored().read();
    world.ledger.change_fate(
        |entry| {
            (100..250).contains(&entry.offset)
                && !stored.contains_key(&entry.content.message_id().unwrap())
        },
        Fate::Absent,
    );
    let report = world.check();
    assert_eq!(report.stored + skipped, 310);
    assert!(report.stored < 310, "no record was skipped");
    let counted: i64 = worker
        .errors()
        .iter()
        .filter_map(|line| line.number("count"))
        .sum();
    assert_eq!(counted, skipped);
}

#[test]
fn messages_in_partitions_added_after_a_latest_start_are_not_skipped() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    world
        .ledger
        .change_fate(|entry| entry.offset < 10, Fate::Absent);
    let setup = world.worker().set("kafka.auto_offset_reset", "latest");
    let mut worker = setup.start();
    wait_for_commits(&world, &[10]);
    world.admin.add_partitions(&world.topic, 3);
    let newer = Producer::new(&world);
    newer.fill(10..210, 3);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    // The same while no worker runs.
    world.admin.add_partitions(&world.topic, 5);
    Producer::new(&world).fill(210..310, 5);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.check().stored, 300);
}

/// The first member has committed already when the second one starts with partitions of its own.
#[test]
fn latest_start_of_several_members_skips_the_old_messages_of_all_partitions() {
    let world = World::new(2);
    Producer::new(&world).fill(0..100, 2);
    world.ledger.change_fate(|_| true, Fate::Absent);
    let setup = world.worker().set("kafka.auto_offset_reset", "latest");
    let mut workers = [setup.start(), setup.start()];
    wait_for_commits(&world, &[50, 50]);
    Producer::new(&world).fill(100..200, 2);
    world.wait_committed_to_end(SHORT);
    for worker in &mut workers {
        worker.stop();
    }
    assert_eq!(world.check().stored, 100);
}
