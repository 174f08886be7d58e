//! Rejections in a row: a limit can stop the worker before it dead-letters the whole topic.

use super::assert_committed_is_settled;
use crate::harness::{Message, Producer, SHORT, World};

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
