//! Floods of rejections: limits can stop or pause the worker before it dead-letters the whole topic.

use super::assert_committed_is_settled;
use bson::doc;

use crate::harness::{MINUTE, Message, Producer, SHORT, WorkerSetup, World, metric, until};

#[test]
fn too_many_rejections_in_a_row_stop_the_worker() {
    const LIMIT: usize = 10;
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..20, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    for number in 0..200 {
        producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
    }
    producer.fill(20..40, 1);
    let finished = world
        .worker()
        .set("consumer.writer_threads", 1)
        .set("consumer.max_consecutive_rejections", LIMIT)
        .run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    assert!(
        finished
            .errors
            .contains("`consumer.max_consecutive_rejections`"),
        "{}",
        finished.errors
    );
    assert_eq!(world.dead_letters().len(), LIMIT);
    assert!(world.committed()[&0] <= Some(30));
    assert_committed_is_settled(&world);

    // A restart doesn't dead-letter as many again.
    let again = world
        .worker()
        .set("consumer.writer_threads", 1)
        .set("consumer.max_consecutive_rejections", LIMIT)
        .run();
    assert_eq!(again.code, Some(1), "{}", again.errors);
    assert_eq!(world.dead_letters().len(), LIMIT);

    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (40, 200));
}

#[test]
fn rejections_between_good_messages_do_not_stop_the_worker() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    let mut worker = world
        .worker()
        .set("consumer.max_consecutive_rejections", 5)
        .start();
    for round in 0..5 {
        for number in 0..4 {
            producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
        }
        producer.fill(round * 10..round * 10 + 10, 1);
        world.wait_committed_to_end(SHORT);
    }
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (50, 20));
}

/// As many good messages as bad ones, in turns.
fn fill_half_and_half(producer: &Producer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        producer.send(producer.numbered(number, 1, 0));
        producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
    }
    producer.flush();
}

/// Of 100 messages, 30 may be rejected.
fn limited(world: &World) -> WorkerSetup {
    world
        .worker()
        .set("consumer.batch_size", 10)
        .set("consumer.writer_threads", 1)
        .set("consumer.rejection_window", 100)
        .set("consumer.max_rejection_ratio", 0.3)
}

#[test]
fn too_large_a_share_of_rejections_stops_the_worker_and_a_restart_dead_letters_no_more() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..20, 1);
    fill_half_and_half(&producer, 20..220);
    for _ in 0..3 {
        let finished = limited(&world).run();
        assert_eq!(finished.code, Some(1), "{}", finished.errors);
        let last = &finished.log.last().unwrap().msg;
        for words in [
            "of partition 0 were rejected",
            "`consumer.max_rejection_ratio`",
        ] {
            assert!(last.contains(words), "{last}");
        }
        assert_eq!(world.dead_letters().len(), 30);
        assert_committed_is_settled(&world);
    }
    let mut worker = limited(&world)
        .set("consumer.max_rejection_ratio", 0.6)
        .start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (220, 200));
}

#[test]
fn a_restart_counts_on_although_the_offset_has_not_moved() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..20, 1);
    let setup = limited(&world).set("consumer.batch_size", 100);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    // The good message isn't stored yet when the batch's bad ones are one too many.
    producer.send(producer.numbered(20, 1, 0));
    for number in 0..60 {
        producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
    }
    producer.flush();
    for _ in 0..3 {
        assert_eq!(setup.run().code, Some(1));
        assert_eq!(world.dead_letters().len(), 30);
        assert_committed_is_settled(&world);
    }
}

/// The good messages stand in front of the bad ones in one batch, so they aren't stored before the flood, and each worker reads
/// them again.
#[test]
fn good_messages_before_a_flood_do_not_hide_it_from_a_restart() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..120, 1);
    for number in 0..200 {
        producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
    }
    producer.flush();
    let whole = |group: &str| {
        world
            .worker()
            .set("kafka.group_id", format!("{}-{group}", world.group))
            .set("consumer.batch_size", 400)
            .set("consumer.writer_threads", 1)
    };
    let in_a_row = whole("in-a-row").set("consumer.max_consecutive_rejections", 10);
    let by_share = whole("by-share")
        .set("consumer.rejection_window", 100)
        .set("consumer.max_rejection_ratio", 0.3);
    for (setup, letters) in [(in_a_row, 10), (by_share, 40)] {
        for _ in 0..3 {
            let finished = setup.run();
            assert_eq!(finished.code, Some(1), "{}", finished.errors);
            assert_eq!(world.dead_letters().len(), letters);
        }
    }
}

#[test]
fn all_writers_pause_and_each_partition_has_its_own_share() {
    let world = World::new(4);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&world);
    for number in 0..800 {
        let bad = Message::refused(format!("bad {number}"), "invalid_json");
        producer.send(bad.partition(number % 4));
    }
    producer.flush();
    let setup = limited(&world)
        .set("consumer.writer_threads", 8)
        .set("consumer.on_flood", "pause")
        .set("consumer.stalled_after_ms", 1000)
        .set("control.socket", folder.path().join("socket").display());
    let mut worker = setup.start();
    for round in 1..=2 {
        worker.wait_until("it pauses", MINUTE, |metrics| {
            metrics.sum(metric::PAUSED_BY_FLOOD) == 1
        });
        until("what is in hand stands still", MINUTE, || {
            (worker.metrics().sum(metric::STALLED_PARTITIONS) > 0).then_some(())
        });
        let letters = world.dead_letters().len();
        assert!(letters <= round * 4 * 30, "{letters} in round {round}");
        assert_committed_is_settled(&world);
        assert_eq!(setup.clone().argument("resume").run().code, Some(0));
    }
    worker.stop();
}

#[test]
fn a_flood_pauses_the_worker_until_an_operator_resumes() {
    let world = World::new(1);
    let folder = tempfile::tempdir().unwrap();
    let producer = Producer::new(&world);
    fill_half_and_half(&producer, 0..50);
    let setup = limited(&world)
        .set("consumer.on_flood", "pause")
        .set("consumer.stalled_after_ms", 1000)
        .set("control.socket", folder.path().join("socket").display());
    let mut worker = setup.start();
    let is_paused = |metrics: &crate::harness::Metrics| metrics.sum(metric::PAUSED_BY_FLOOD) == 1;
    worker.wait_until("it pauses", MINUTE, is_paused);
    let (code, ready) = worker.get("/ready");
    assert_eq!(code, 503);
    assert!(ready.contains("too many messages are rejected"), "{ready}");
    // What it waits for is said, and nothing more is rejected meanwhile.
    let line = worker.wait_for_log("a partition does not move on", MINUTE);
    assert!(line.msg.contains("`resume`"), "{}", line.msg);
    assert_eq!(world.dead_letters().len(), 30);
    assert_eq!(worker.metrics().sum(metric::PAUSED_BY_OPERATOR), 0);
    let status = setup.clone().argument("status").run();
    assert!(
        status.output.contains("the guard against floods"),
        "{}",
        status.output
    );

    let resumed = setup.clone().argument("resume").run();
    assert_eq!(resumed.code, Some(0), "{}", resumed.errors);
    world.wait_committed_to_end(MINUTE);
    worker.wait_until("it goes on", SHORT, |metrics| !is_paused(metrics));
    worker.stop();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (50, 50));
}

#[test]
fn a_paused_flood_does_not_hold_up_a_stop_and_is_found_again_after_it() {
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let folder = tempfile::tempdir().unwrap();
    fill_half_and_half(&Producer::new(&world), 0..50);
    let setup = limited(&world)
        .set("consumer.on_flood", "pause")
        .set("control.socket", folder.path().join("socket").display());
    for _ in 0..2 {
        let mut worker = setup.start();
        worker.wait_until("it pauses", MINUTE, |metrics| {
            metrics.sum(metric::PAUSED_BY_FLOOD) == 1
        });
        // A stop doesn't wait long for that.
        until("its dead letters are acknowledged", MINUTE, || {
            (world.dead_letters().len() == 30).then_some(())
        });
        worker.stop();
        assert_eq!(world.dead_letters().len(), 30);
        assert_committed_is_settled(&world);
    }
}

#[test]
fn rejections_below_the_limit_do_not_stop_many_writers_with_large_batches() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for number in 0..4000 {
        producer.send(producer.numbered(number, 1, 0));
        if number % 2 == 0 {
            producer.send(Message::refused(format!("bad {number}"), "invalid_json"));
        }
    }
    producer.flush();
    let mut worker = limited(&world)
        .set("consumer.batch_size", 500)
        .set("consumer.writer_threads", 8)
        .set("consumer.rejection_window", 300)
        .set("consumer.max_rejection_ratio", 0.6)
        .start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (4000, 2000));
}

#[test]
fn messages_that_mongodb_refuses_count_and_those_of_an_outage_do_not() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    producer.fill(0..200, 1);
    let outage = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert", "ping"], "errorCode": 91 },
    );
    let setup = limited(&world).set("consumer.max_retries", 1);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    assert_eq!(world.dead_letters().len(), 200);
    worker.stop();
    drop(outage);
    // A validator that no message meets.
    let database = world.mongodb();
    database
        .collection::<bson::Document>("messages")
        .drop()
        .run()
        .unwrap();
    let create = doc! { "create": "messages", "validator": { "nothing": { "$exists": true } } };
    database.run_command(create).run().unwrap();
    producer.fill(200..400, 1);
    let finished = setup.run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    assert!(
        finished
            .log
            .last()
            .unwrap()
            .msg
            .contains("`write_rejected`")
    );
    assert_eq!(world.dead_letters().len(), 230);
}
