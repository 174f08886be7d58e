//! Records that MongoDB refuses with a code that isn't in the worker's table. The results of other
//! records show whether a record or the server is the cause. It doesn't matter how many records share a batch.

use bson::doc;
use mongodb::IndexModel;

use super::{dead_lettered, is_available, settled, stored, worker_with_short_timeouts};
use crate::harness::{Fate, Json, MINUTE, Message, Producer, SHORT, WorkerSetup, World};

/// An index on `value.0` can't take an array with an object that has a field `0`.
const FAULTY_VALUE: &str = r#"[{"0":1},2]"#;
const CODE: &str = "16746";

/// A world whose collection refuses documents with that value.
fn world() -> World {
    let world = World::new(1);
    let index = IndexModel::builder().keys(doc! { "value.0": 1 }).build();
    let create = world.stored().documents().create_index(index).run();
    create.unwrap();
    world
}

/// A worker with one writer: faulty records must not keep that writer from storing others.
fn worker(world: &World) -> WorkerSetup {
    worker_with_short_timeouts(world).set("consumer.writer_threads", 1)
}

fn send_faulty(producer: &Producer, count: usize, fate: Fate) {
    for number in 0..count {
        let faulty = Json::message(&format!("faulty-{number}")).add("value", FAULTY_VALUE);
        producer.send(Message::stored(faulty).fate(fate));
    }
    producer.flush();
}

#[test]
fn faulty_records_are_rejected_in_pause_mode_as_soon_as_another_record_is_stored() {
    for faulty in [1, 2] {
        let world = world();
        let producer = Producer::new(&world);
        let mut worker = worker(&world)
            .set("mongodb.on_unavailable", "pause")
            .start();
        worker.wait_ready();
        send_faulty(&producer, faulty, Fate::DeadLettered("write_rejected"));
        worker.wait_until("MongoDB counts as unavailable", MINUTE, |metrics| {
            !is_available(metrics)
        });
        producer.send_now(producer.numbered(0, 1, 0));
        world.wait_committed_to_end(SHORT);
        worker.wait_until("MongoDB counts as available", SHORT, is_available);
        worker.stop();
        let letters = world.dead_letters();
        assert_eq!(letters.len(), faulty);
        for letter in letters {
            assert_eq!(letter.header("dlq.error_code"), CODE);
        }
        assert_eq!(world.check().stored, 1);
    }
}

#[test]
fn other_records_are_stored_while_faulty_ones_are_redirected() {
    for faulty in [1_u32, 2] {
        let world = world();
        let producer = Producer::new(&world);
        let mut worker = worker(&world)
            .set("mongodb.reconnect_interval_ms", 60_000)
            .start();
        worker.wait_ready();
        let count = usize::try_from(faulty).unwrap();
        send_faulty(&producer, count, Fate::DeadLettered("mongodb_unavailable"));
        worker.wait_until("the faulty ones are redirected", MINUTE, |metrics| {
            dead_lettered(metrics, "mongodb_unavailable") == i64::from(faulty)
        });
        producer.fill(0..50, 1);
        let metrics = worker.wait_until("all is settled", SHORT, |metrics| {
            settled(metrics) == 50 + i64::from(faulty)
        });
        assert_eq!(stored(&metrics), 50);
        worker.wait_until("MongoDB counts as available", SHORT, is_available);
        world.wait_committed_to_end(SHORT);
        worker.stop();
        world.check();
    }
}

#[test]
fn faulty_records_among_others_are_rejected_and_cause_no_outage() {
    let world = world();
    let producer = Producer::new(&world);
    send_faulty(&producer, 2, Fate::DeadLettered("write_rejected"));
    producer.fill(0..50, 1);
    let mut worker = worker(&world).start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 50);
}
