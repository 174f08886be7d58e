//! Batches grow while a backlog waits for the writers, and become smaller where MongoDB is slow or refuses them.

use bson::doc;

use crate::harness::{MINUTE, Metrics, Producer, SHORT, WorkerSetup, World, metric};

/// The batch sizes of the shipped configuration.
fn growing(world: &World) -> WorkerSetup {
    let setup = world.worker().set("consumer.batch_size", 100);
    setup.set("consumer.max_batch_size", 1000)
}

fn mean_batch_size(metrics: &Metrics) -> i64 {
    metrics.total(metric::BATCH_SIZE) / metrics.observations(metric::BATCH_SIZE)
}

#[test]
fn a_backlog_of_one_partition_makes_the_inserts_larger() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    producer.fill(0..40_000, 1);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 100 };
    let fail_point = world.fail_point("alwaysOn", block);
    let mut worker = growing(&world).start();
    let metrics = worker.wait_until("the backlog is settled", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) == 40_000
    });
    let mean = mean_batch_size(&metrics);
    assert!(mean > 500, "{mean} messages a batch");
    // Without a backlog, a message waits for no others.
    drop(fail_point);
    for number in 40_000..40_003 {
        producer.send_now(producer.numbered(number, 1, 0));
        let settled = i64::try_from(number + 1).unwrap();
        worker.wait_until("the lone message is settled", SHORT, |metrics| {
            metrics.sum(metric::PROCESSED) == settled
        });
    }
    let after = worker.metrics();
    let batches = |metrics: &Metrics| metrics.observations(metric::BATCH_SIZE);
    assert_eq!(batches(&after), batches(&metrics) + 3);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 40_003);
}

#[test]
fn batches_do_not_grow_by_default() {
    let world = World::with_own_mongodb(1);
    Producer::new(&world).fill(0..10_000, 1);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 50 };
    let _fail_point = world.fail_point("alwaysOn", block);
    let mut worker = world.worker().start();
    let metrics = worker.wait_until("the backlog is settled", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) == 10_000
    });
    let batches = metrics.observations(metric::BATCH_SIZE);
    assert!(batches >= 100, "{batches} batches");
    assert_eq!(metrics.sum(metric::BATCH_LIMIT), 100);
    worker.stop();
    assert_eq!(world.check().stored, 10_000);
}

#[test]
fn slow_inserts_make_the_next_batches_smaller() {
    let world = World::with_own_mongodb(1);
    Producer::new(&world).fill(0..40_000, 1);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 1100 };
    let fail_point = world.fail_point("alwaysOn", block);
    let mut worker = growing(&world).start();
    worker.wait_until("the limit was halved twice", MINUTE, |metrics| {
        metrics.sum(metric::BATCH_LIMIT) <= 250
    });
    drop(fail_point);
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 40_000);
}

#[test]
fn an_insert_refused_for_its_size_makes_the_next_batches_smaller_and_rejects_nothing() {
    let world = World::with_own_mongodb(1);
    Producer::new(&world).fill(0..40_000, 1);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 100 };
    let fail_point = world.fail_point("alwaysOn", block);
    let setup = growing(&world).set("consumer.writer_threads", 1);
    let mut worker = setup.set("logging.level", "DEBUG").start();
    worker.wait_until("batches are as large as they may be", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) >= 3000 && metrics.sum(metric::BATCH_LIMIT) == 1000
    });
    // `BSONObjectTooLarge`. One batch may be halved three times by this, so no message stands alone.
    let refuse = doc! { "failCommands": ["insert"], "errorCode": 10334 };
    fail_point.set(&world.app_name, doc! { "times": 3 }, refuse);
    worker.wait_for_log("the next batches have up to 500 messages", MINUTE);
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::DEAD_LETTERS), 0);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 40_000);
}

#[test]
fn a_kill_and_a_revoke_amid_large_batches_lose_nothing() {
    let world = World::with_own_mongodb(6);
    Producer::new(&world).fill(0..120_000, 6);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 300 };
    let fail_point = world.fail_point("alwaysOn", block);
    let setup = growing(&world)
        .consumer_property("session.timeout.ms", "2000")
        .consumer_property("heartbeat.interval.ms", "300");
    let mut killed = setup.start();
    killed.wait_until("its batches have grown", MINUTE, |metrics| {
        metrics.sum(metric::STORED) >= 10_000 && mean_batch_size(metrics) > 400
    });
    killed.kill();
    let mut first = setup.start();
    first.wait_until("its batches have grown", MINUTE, |metrics| {
        metrics.sum(metric::STORED) >= 10_000
    });
    let mut second = setup.start();
    second.wait_until("it has its share", MINUTE, |metrics| {
        metrics.sum(metric::ASSIGNED_PARTITIONS) == 3
    });
    drop(fail_point);
    world.wait_committed_to_end(MINUTE);
    // What the first one had in flight of the partitions that went was settled before they went.
    assert_eq!(second.metrics().sum(metric::REPLAYED), 0);
    for worker in [&mut first, &mut second] {
        worker.stop();
        worker.assert_no_errors();
    }
    assert_eq!(world.check().stored, 120_000);
}
