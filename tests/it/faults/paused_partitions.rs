//! A partition that is revoked while consumption is paused, and assigned again.

use bson::doc;

use crate::harness::{MINUTE, Metrics, Producer, World, metric};

#[test]
fn partition_revoked_while_paused_is_read_after_its_return() {
    is_read_after_its_return("cooperative-sticky");
}

#[test]
fn partition_revoked_while_paused_is_read_after_its_return_in_an_eager_group() {
    is_read_after_its_return("range");
}

fn is_read_after_its_return(assignor: &str) {
    let world = World::with_own_mongodb(2);
    Producer::new(&world).fill(0..600, 2);
    let setup = world
        .worker()
        .consumer_property("partition.assignment.strategy", assignor)
        .consumer_property("session.timeout.ms", "6000")
        .consumer_property("heartbeat.interval.ms", "500")
        .set("consumer.batch_size", 5)
        .set("consumer.writer_threads", 1);
    let slow = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 2000 },
    );
    let mut first = setup.start();
    first.wait_until("consumption is paused", MINUTE, |metrics| {
        has_partitions(metrics, 2) && metrics.sum(metric::PAUSED) == 1
    });
    let mut second = setup.start();
    second.wait_until("the second worker has a partition", MINUTE, |metrics| {
        has_partitions(metrics, 1)
    });
    first.wait_until("one partition is revoked", MINUTE, |metrics| {
        has_partitions(metrics, 1)
    });
    second.stop();
    first.wait_until("the partition is assigned again", MINUTE, |metrics| {
        has_partitions(metrics, 2)
    });
    drop(slow);
    world.wait_committed_to_end(MINUTE);
    first.stop();
    first.assert_no_errors();
    second.assert_no_errors();
    assert_eq!(world.check().stored, 600);
}

fn has_partitions(metrics: &Metrics, count: i64) -> bool {
    metrics.sum(metric::ASSIGNED_PARTITIONS) == count
}
