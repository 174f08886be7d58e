//! Rebalances: workers join and leave without losing or repeating messages.

use crate::harness::{Background, MINUTE, Worker, WorkerSetup, World, metric};

const PARTITIONS: i32 = 6;

/// A second worker joins and leaves under load, three times.
fn join_and_leave(world: &World, setup: &WorkerSetup) {
    let load = Background::start(world, 0, 2000, PARTITIONS);
    let mut first = setup.start();
    wait_for_partitions(&mut first, 6);
    let mut replayed = 0;
    for round in 1..=3 {
        let mut second = setup.start();
        wait_for_partitions(&mut second, 3);
        wait_for_partitions(&mut first, 3);
        let metrics = second.wait_until("the second worker stores messages", MINUTE, |metrics| {
            metrics.sum(metric::STORED) >= 500
        });
        replayed += metrics.sum(metric::REPLAYED);
        second.stop();
        second.assert_no_errors();
        wait_for_partitions(&mut first, 6);
        let stored = first.metrics().sum(metric::STORED);
        let what = format!("the first worker continues after round {round}");
        first.wait_until(&what, MINUTE, |metrics| {
            metrics.sum(metric::STORED) >= stored + 500
        });
    }
    let sent = load.stop();
    world.wait_committed_to_end(MINUTE);
    replayed += first.metrics().sum(metric::REPLAYED);
    first.stop();
    first.assert_no_errors();
    let report = world.check();
    assert_eq!(report.stored, sent);
    assert_eq!(replayed, 0, "a message was consumed twice");
}

fn wait_for_partitions(worker: &mut Worker, count: i64) {
    let what = format!("it has {count} partitions");
    worker.wait_until(&what, MINUTE, |metrics| {
        metrics.sum(metric::ASSIGNED_PARTITIONS) == count
    });
}

#[test]
fn workers_join_and_leave_a_cooperative_group() {
    let world = World::new(PARTITIONS);
    let setup = world
        .worker()
        .consumer_property("heartbeat.interval.ms", "500");
    join_and_leave(&world, &setup);
}

#[test]
fn workers_join_and_leave_an_eager_group() {
    let world = World::new(PARTITIONS);
    let setup = world
        .worker()
        .consumer_property("heartbeat.interval.ms", "500")
        .consumer_property("partition.assignment.strategy", "range");
    join_and_leave(&world, &setup);
}

#[test]
fn workers_join_and_leave_a_group_of_the_new_protocol() {
    let world = World::new(PARTITIONS);
    let setup = world
        .worker()
        .consumer_property("group.protocol", "consumer");
    join_and_leave(&world, &setup);
}

#[test]
fn static_member_returns_to_its_partitions() {
    let world = World::new(PARTITIONS);
    let setup = world
        .worker()
        .consumer_property("heartbeat.interval.ms", "500")
        .consumer_property("session.timeout.ms", "20000");
    let load = Background::start(&world, 0, 1000, PARTITIONS);
    let mut stays = setup
        .clone()
        .consumer_property("group.instance.id", "stays")
        .start();
    wait_for_partitions(&mut stays, 6);
    let restarted = setup.consumer_property("group.instance.id", "restarted");
    let mut worker = restarted.start();
    wait_for_partitions(&mut worker, 3);
    wait_for_partitions(&mut stays, 3);
    let before = stays.metrics().sum(metric::REBALANCES);
    for _ in 0..2 {
        worker.stop();
        worker.assert_no_errors();
        // This takes several heartbeats: a rebalance caused by the stop would show.
        let stored = stays.metrics().sum(metric::STORED);
        stays.wait_until("the other worker continues", MINUTE, |metrics| {
            metrics.sum(metric::STORED) >= stored + 1000
        });
        worker = restarted.start();
        wait_for_partitions(&mut worker, 3);
        worker.wait_until("it stores messages", MINUTE, |metrics| {
            metrics.sum(metric::STORED) >= 500
        });
    }
    let sent = load.stop();
    world.wait_committed_to_end(MINUTE);
    let after = stays.metrics().sum(metric::REBALANCES);
    assert_eq!(before, after, "the other member saw no rebalance");
    for worker in [&mut stays, &mut worker] {
        worker.stop();
        worker.assert_no_errors();
    }
    assert_eq!(world.check().stored, sent);
}

#[test]
fn added_partitions_are_read_from_their_beginning() {
    let world = World::new(1);
    let load = Background::start(&world, 0, 200, 1);
    let mut worker = world.worker().start();
    wait_for_partitions(&mut worker, 1);
    world.admin.add_partitions(&world.topic, 4);
    let more = Background::start(&world, 1_000_000, 200, 4);
    wait_for_partitions(&mut worker, 4);
    let sent = load.stop() + more.stop();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, sent);
}
