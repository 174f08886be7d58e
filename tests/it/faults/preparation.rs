//! MongoDB is away when the worker starts. When it is back, nothing is stored before the collection is checked and has its
//! unique indexes.

use bson::{Document, doc};

use super::{OUTAGE, dead_lettered, is_available, worker_with_short_timeouts};
use crate::harness::{Json, MINUTE, Message, Producer, SHORT, Signal, WorkerSetup, World, metric};

const UNIQUE: &str = r#"[{"key": {"number": 1}, "unique": true}]"#;

fn numbered(producer: &Producer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let value = Json::message(&format!("message-{number}")).add("number", number);
        producer.send_now(Message::stored(value));
    }
}

/// What the server has done is there after a kill.
fn run_durably(world: &World, mut command: Document) {
    command.insert("writeConcern", doc! { "j": true });
    world.mongodb().run_command(command).run().unwrap();
}

#[test]
fn messages_wait_for_a_unique_index_after_an_outage_at_the_start() {
    let world = World::with_own_mongodb(1);
    let messages = world.mongodb().collection::<Document>("messages");
    // An empty collection has its index at once.
    run_durably(
        &world,
        doc! { "insert": "messages", "documents": [{ "_id": "old" }] },
    );
    world.own_mongodb().signal("mongodb", Signal::Kill);
    let producer = Producer::new(&world);
    numbered(&producer, 0..10);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.indexes", UNIQUE)
        .start();
    worker.wait_until("messages are redirected", OUTAGE, |metrics| {
        dead_lettered(metrics, "mongodb_unavailable") == 10
    });

    // It can't have the index built before that is held up.
    worker.signal(Signal::Stop);
    world.own_mongodb().restart();
    let held = world.hold_index_builds();
    worker.signal(Signal::Cont);
    worker.wait_until("MongoDB counts as available", OUTAGE, is_available);
    numbered(&producer, 10..20);
    let metrics = worker.wait_until("a writer waits", MINUTE, |metrics| {
        metrics.sum(metric::WRITERS_BUSY) > 0
    });
    assert!(is_available(&metrics));
    assert_eq!(dead_lettered(&metrics, "mongodb_unavailable"), 10);
    worker.wait_for_log("messages wait until MongoDB has built it", SHORT);
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 1);

    // An outage in the middle of the build is one as any other.
    world.own_mongodb().signal("mongodb", Signal::Kill);
    worker.wait_until("what waited is redirected", OUTAGE, |metrics| {
        dead_lettered(metrics, "mongodb_unavailable") == 20
    });
    world.own_mongodb().restart();
    worker.wait_until("MongoDB counts as available", OUTAGE, is_available);
    numbered(&producer, 20..30);
    world.wait_committed_to_end(MINUTE);
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 11);
    worker.stop();
    drop(held);
}

#[test]
fn neither_a_stop_nor_a_command_waits_for_a_unique_index() {
    let world = World::with_own_mongodb(1);
    let messages = world.mongodb().collection("messages");
    messages.insert_one(doc! { "_id": "old" }).run().unwrap();
    let held = world.hold_index_builds();
    numbered(&Producer::new(&world), 0..10);
    let mut worker = world.worker().set("mongodb.indexes", UNIQUE).start();
    worker.wait_until("a writer waits", MINUTE, |metrics| {
        metrics.sum(metric::WRITERS_BUSY) > 0
    });
    let command = ["dead-letters", "replay", "--reason", "invalid_json"];
    let setup = world.worker().set("mongodb.indexes", UNIQUE);
    let finished = command.into_iter().fold(setup, WorkerSetup::argument).run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    assert!(
        finished.errors.contains("still builds"),
        "{}",
        finished.errors
    );
    worker.stop();
    drop(held);
    let mut worker = world.worker().set("mongodb.indexes", UNIQUE).start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 11);
}

#[test]
fn nothing_is_stored_in_an_unfit_collection_after_an_outage_at_the_start() {
    let world = World::with_own_mongodb(1);
    run_durably(
        &world,
        doc! { "create": "messages", "capped": true, "size": 4096 },
    );
    world.own_mongodb().signal("mongodb", Signal::Kill);
    Producer::new(&world).fill(0..10, 1);
    let mut worker = worker_with_short_timeouts(&world)
        .set("mongodb.on_unavailable", "pause")
        .start();
    worker.wait_for_log("MongoDB is unavailable", OUTAGE);
    world.own_mongodb().restart();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(4));
    worker.logged("is capped");
    let messages = world.mongodb().collection::<Document>("messages");
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 0);
}
