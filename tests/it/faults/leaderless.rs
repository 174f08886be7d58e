//! Partitions without a leader. A mock broker takes a leader away on demand.

use std::thread;

use rdkafka::mocking::MockCoordinator;

use super::broker_errors::{Cluster, world_on_a_mock_with, world_on_mocks};
use super::logged;
use crate::harness::{Fate, MINUTE, Producer, SHORT, Worker, WorkerSetup, World, metric, until};

const LEADERLESS: i32 = 2;

/// A worker with short time limits. Waiting for a leader must not make it exceed them.
fn impatient(world: &World) -> WorkerSetup {
    world
        .worker()
        .consumer_property("max.poll.interval.ms", "20000")
        .consumer_property("session.timeout.ms", "6000")
        .set("consumer.stalled_after_ms", 2000)
}

/// Takes the leader of one partition away, and starts a worker, which stores the 60 messages of the other partitions.
fn start_without_a_leader(cluster: &Cluster, world: &World) -> Worker {
    cluster
        .partition_leader(&world.topic, LEADERLESS, None)
        .unwrap();
    let mut worker = impatient(world).start();
    worker.wait_until("the other partitions are stored", MINUTE, |metrics| {
        metrics.sum(metric::STORED) == 60
    });
    worker
}

#[test]
fn other_partitions_are_read_while_one_has_no_leader() {
    let (cluster, world) = world_on_a_mock_with(3);
    let producer = Producer::new(&world);
    producer.fill(0..90, 3);
    let mut worker = start_without_a_leader(&cluster, &world);
    worker.wait_until("the partition is counted", SHORT, |metrics| {
        metrics.sum(metric::LEADERLESS_PARTITIONS) == 1
            && metrics.sum(metric::ASSIGNED_PARTITIONS) == 3
            && metrics.sum(metric::STALLED_PARTITIONS) == 1
    });
    let line = worker.wait_for_log("does not move on", SHORT);
    assert_eq!(line.number("partition"), Some(i64::from(LEADERLESS)));
    worker.wait_for_log("no leader that answers", SHORT);
    cluster
        .partition_leader(&world.topic, LEADERLESS, Some(1))
        .unwrap();
    world.wait_committed_to_end(MINUTE);
    worker.wait_until("no partition is counted", SHORT, |metrics| {
        metrics.sum(metric::LEADERLESS_PARTITIONS) == 0
            && metrics.sum(metric::STALLED_PARTITIONS) == 0
    });
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 90);
}

#[test]
fn committed_partition_without_a_leader_is_read_on_once_it_has_one() {
    let (cluster, world) = world_on_a_mock_with(3);
    let producer = Producer::new(&world);
    producer.fill(0..90, 3);
    let mut worker = impatient(&world).start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    producer.fill(90..180, 3);
    let mut worker = start_without_a_leader(&cluster, &world);
    worker.wait_until("the partition stands still", SHORT, |metrics| {
        metrics.sum(metric::STALLED_PARTITIONS) == 1
    });
    cluster
        .partition_leader(&world.topic, LEADERLESS, Some(1))
        .unwrap();
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::STORED), 90);
    assert_eq!(metrics.sum(metric::REPLAYED), 0, "it went on at its commit");
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 180);
}

/// The client asks for the waiting partition's offset by itself, and half of the time that answer comes after the
/// partition has begun. So it is tried a few times.
#[test]
fn partition_that_gets_its_leader_back_is_read_from_its_beginning() {
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let (cluster, world) = world_on_a_mock_with(3);
                Producer::new(&world).fill(0..90, 3);
                let mut worker = start_without_a_leader(&cluster, &world);
                worker.wait_for_log("no leader that answers", SHORT);
                cluster
                    .partition_leader(&world.topic, LEADERLESS, Some(1))
                    .unwrap();
                world.wait_committed_to_end(MINUTE);
                worker.stop();
                worker.assert_no_errors();
                assert_eq!(world.check().stored, 90);
            });
        }
    });
}

/// Where it stood at the group's first start isn't known, so it is read from its beginning.
#[test]
fn latest_start_skips_nothing_of_a_partition_without_a_leader() {
    let (cluster, world) = world_on_a_mock_with(3);
    Producer::new(&world).fill(0..90, 3);
    world
        .ledger
        .change_fate(|entry| entry.partition != LEADERLESS, Fate::Absent);
    cluster
        .partition_leader(&world.topic, LEADERLESS, None)
        .unwrap();
    let setup = impatient(&world).set("kafka.auto_offset_reset", "latest");
    let led_are_committed = || {
        until("the other partitions are committed", MINUTE, || {
            let committed = world.committed();
            (committed[&0] == Some(30) && committed[&1] == Some(30)).then_some(())
        });
    };
    let mut worker = setup.start();
    led_are_committed();
    worker.stop();
    // A later start knows of it from the commits of the other partitions.
    let mut worker = setup.start();
    worker.wait_for_log("no leader that answers", MINUTE);
    cluster
        .partition_leader(&world.topic, LEADERLESS, Some(1))
        .unwrap();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 30);
}

#[test]
fn loss_of_a_leader_is_said_once_and_so_is_its_return() {
    // Broker 2 leads one partition, and is down when its leader is taken away.
    let (cluster, world) = world_on_mocks(2, 3);
    let lead = |broker| cluster.partition_leader(&world.topic, LEADERLESS, broker);
    for partition in 0..2 {
        cluster
            .partition_leader(&world.topic, partition, Some(1))
            .unwrap();
    }
    lead(Some(2)).unwrap();
    cluster
        .partition_leader(&world.dead_letter_topic, 0, Some(1))
        .unwrap();
    let group = MockCoordinator::Group(world.group.clone());
    cluster.coordinator(group, 1).unwrap();
    Producer::new(&world).fill(0..90, 3);
    let mut worker = world
        .worker()
        .consumer_property("topic.metadata.refresh.interval.ms", "500")
        .start();
    world.wait_committed_to_end(MINUTE);
    cluster.broker_down(2).unwrap();
    lead(None).unwrap();
    let lost = worker.wait_for_log("has no leader", SHORT);
    assert_eq!(lost.level, "WARN");
    assert_eq!(lost.number("partition"), Some(i64::from(LEADERLESS)));
    lead(Some(1)).unwrap();
    let back = worker.wait_for_log("has a leader again", MINUTE);
    assert_eq!(back.level, "INFO");
    assert_eq!(back.number("partition"), Some(i64::from(LEADERLESS)));
    worker.stop();
    for text in ["has no leader", "has a leader again"] {
        assert_eq!(logged(&worker, text).len(), 1, "{text}");
    }
}
