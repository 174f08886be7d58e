//! A topic that is deleted and created again under the same name.

use std::collections::BTreeSet;

use bson::doc;

use crate::harness::{
    Entry, Fate, MINUTE, Producer, SHORT, World, metric, until, wait_for_commits,
};

const RECREATED: &str = "deleted and recreated";

fn recreate(world: &World, partitions: i32) {
    world.admin.delete_topics(&[&world.topic]);
    until("the topic is gone", SHORT, || {
        (!world.has_topic()).then_some(())
    });
    world.admin.create_topic(&world.topic, partitions, &[]);
}

#[test]
fn recreated_topic_is_read_from_its_beginning() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    recreate(&world, 1);
    Producer::new(&world).fill(100..150, 1);
    let mut worker = world.worker().start();
    worker.wait_until("the new messages are stored", SHORT, |metrics| {
        metrics.sum(metric::STORED) == 50
    });
    wait_for_commits(&world, &[50]);
    worker.stop();
    assert_eq!(world.check().stored, 150);
}

/// The topic is deleted and recreated under a running worker, and then holds more than the worker has read of the old
/// one. librdkafka alone would go on at the old offset.
#[test]
fn topic_recreated_under_a_running_worker_is_read_from_its_beginning() {
    const PARTITIONS: i32 = 3;
    let world = World::new(PARTITIONS);
    Producer::new(&world).fill(0..900, PARTITIONS);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    recreate(&world, PARTITIONS);
    Producer::new(&world).fill(900..3900, PARTITIONS);
    worker.wait_until("the new messages are stored", SHORT, |metrics| {
        metrics.sum(metric::STORED) == 3900
    });
    wait_for_commits(&world, &[1000; 3]);
    worker.stop();
    let errors = worker.errors();
    assert!(
        errors[0].msg.contains("deleted and recreated"),
        "{errors:#?}"
    );
    assert_eq!(world.check().stored, 3900);
}

/// The topic is recreated before the worker has read all of it. What was read of the old topic is stored, and nothing
/// of the new one is missing.
#[test]
fn topic_recreated_amid_a_backlog_is_read_from_its_beginning() {
    const PARTITIONS: i32 = 3;
    let world = World::new(PARTITIONS);
    Producer::new(&world).fill(0..30_000, PARTITIONS);
    let id_of = |entry: &Entry| entry.content.message_id().unwrap();
    let old: BTreeSet<String> = world.ledger.entries().iter().map(id_of).collect();
    let mut worker = world.worker().start();
    worker.wait_until("some are stored", SHORT, |metrics| {
        metrics.sum(metric::STORED) > 0
    });
    recreate(&world, PARTITIONS);
    Producer::new(&world).fill(30_000..90_000, PARTITIONS);
    wait_for_commits(&world, &[20_000; 3]);
    worker.stop();
    let stored = world.stored().read();
    world.ledger.change_fate(
        |entry| {
            let id = id_of(entry);
            old.contains(&id) && !stored.contains_key(&id)
        },
        Fate::Absent,
    );
    assert!(world.check().stored >= 60_000);
}

/// An insert hangs, so that what was read of the old topic isn't settled.
#[test]
fn beginning_of_a_recreated_topic_is_committed_before_the_old_one_is_settled() {
    let world = World::with_own_mongodb(1);
    let setup = world
        .worker()
        .set("consumer.batch_size", 10)
        .set("consumer.writer_threads", 1)
        .consumer_property("session.timeout.ms", "6000");
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 20_000 };
    let fail_point = world.fail_point("alwaysOn", block);
    producer.fill(10..1010, 1);
    worker.wait_until("the end is known while an insert hangs", SHORT, |metrics| {
        metrics.sum(metric::WRITERS_BUSY) == 1 && metrics.sum(metric::LAG) == 1000
    });
    recreate(&world, 1);
    Producer::new(&world).fill(1010..1040, 1);
    let line = worker.wait_for_log(RECREATED, SHORT);
    let unread = line.number("unread").expect("what was not read");
    assert!((1..=990).contains(&unread), "{unread}");
    wait_for_commits(&world, &[0]);
    worker.kill();
    drop(fail_point);
    let mut worker = setup.start();
    wait_for_commits(&world, &[30]);
    worker.stop();
    let stored = world.stored().read();
    for entry in world.ledger.entries().into_iter().skip(1010) {
        assert!(stored.contains_key(&entry.content.message_id().unwrap()));
    }
}

/// Kafka deletes a group's commits with their topic.
#[test]
fn topic_recreated_and_grown_while_no_worker_runs_is_read_from_its_beginning() {
    let world = World::new(1);
    Producer::new(&world).fill(0..100, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    recreate(&world, 1);
    until("the commits are gone", SHORT, || {
        (world.committed()[&0].is_none()).then_some(())
    });
    Producer::new(&world).fill(100..300, 1);
    let mut worker = world.worker().start();
    wait_for_commits(&world, &[200]);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 300);
}

/// A worker that doesn't know of the new topic yet may commit an offset of the old one for it.
#[test]
fn commit_of_a_topic_that_was_recreated_is_recognised_at_the_start() {
    let world = World::new(2);
    let producer = Producer::new(&world);
    producer.fill(0..200, 2);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    // The topic's id is known by now, and the next commits name it.
    producer.fill(200..400, 2);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let texts = world.committed_texts();
    recreate(&world, 2);
    Producer::new(&world).fill(400..1000, 2);
    for (partition, text) in &texts {
        world.commit_with_text(*partition, 200, text);
    }
    let mut worker = world.worker().start();
    let line = worker.wait_for_log(RECREATED, MINUTE);
    assert!(line.is_error());
    wait_for_commits(&world, &[300, 300]);
    worker.stop();
    assert_eq!(world.check().stored, 1000);
    // The new commits belong to the new topic.
    let mut worker = world.worker().start();
    worker.wait_ready();
    Producer::new(&world).fill(1000..1100, 2);
    world.wait_committed_to_end(SHORT);
    let replayed = worker.metrics().sum(metric::REPLAYED);
    assert_eq!(replayed, 0, "it began at its commits");
    worker.stop();
    worker.assert_no_errors();
}
