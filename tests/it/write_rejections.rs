//! Records that MongoDB refuses.

use bson::doc;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::harness::{Fate, Json, Message, Producer, SHORT, World, metric, text};

fn message(id: &str, name: &str, value: i64) -> Json {
    Json::message(id)
        .set("name", text(name))
        .add("value", value)
}

#[test]
fn records_refused_by_a_validator_are_dead_lettered_alone() {
    let world = World::new(1);
    world
        .mongodb()
        .create_collection("messages")
        .validator(doc! { "value": { "$lt": 50 } })
        .run()
        .unwrap();
    let producer = Producer::new(&world);
    for value in 0..100 {
        let fate = if value < 50 {
            Fate::Stored
        } else {
            Fate::DeadLettered("write_rejected")
        };
        producer.send(Message::stored(message(&format!("id-{value}"), "n", value)).fate(fate));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (50, 50));
    for letter in world.dead_letters() {
        assert_eq!(letter.header("dlq.error_code"), "121");
        assert_eq!(letter.header("dlq.attempts"), "1");
        let error = letter.header("dlq.error");
        assert!(
            error.contains("failed validation"),
            "the server's message: {error}"
        );
    }
}

#[test]
fn violation_of_another_unique_index_is_rejected() {
    let world = World::new(1);
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder()
        .keys(doc! { "name": 1 })
        .options(unique)
        .build();
    world
        .stored()
        .documents()
        .create_index(index)
        .run()
        .unwrap();
    let producer = Producer::new(&world);
    producer.send(Message::stored(message("first", "same", 1)));
    producer.send(
        Message::stored(message("second", "same", 1)).fate(Fate::DeadLettered("write_rejected")),
    );
    producer.send(Message::stored(message("third", "other", 1)));
    producer.flush();
    let mut worker = world.worker().set("consumer.writer_threads", 1).start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
    assert_eq!(world.dead_letters()[0].header("dlq.error_code"), "11000");
}

#[test]
fn same_id_with_other_content_is_an_id_conflict() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    let conflict = Fate::Conflict("id_conflict");
    // The conflict is within one batch.
    producer.send(Message::stored(message("a", "n", 1)));
    producer.send(Message::stored(message("a", "n", 2)).fate(conflict));
    producer.send(Message::stored(message("a", "n", 1)));
    producer.send(Message::stored(message("b", "n", 1)));
    producer.flush();
    let mut worker = world.worker().set("consumer.writer_threads", 1).start();
    world.wait_committed_to_end(SHORT);
    // The conflicts are with documents that were stored before. The same fields in another order are another
    // document, and so are the same numbers with another type.
    for other in [
        message("b", "n", 2),
        message("b", "other", 1),
        message("b", "n", 1).set("value", "1.0"),
        message("b", "n", 1).add("more", "null"),
        message("b", "n", 1).without("name").add("name", text("n")),
    ] {
        producer.send(Message::stored(other).fate(conflict));
    }
    producer.send(Message::stored(message("b", "n", 1)));
    producer.flush();
    world.wait_committed_to_end(SHORT);
    let metrics = worker.metrics();
    worker.stop();
    worker.assert_no_errors();
    world.check();
    assert_eq!(world.stored().count(), 2);
    assert_eq!(metrics.sum(metric::REPLAYED), 2);
    assert_eq!(
        metrics.get(metric::DEAD_LETTERS, &[("reason", "id_conflict")]),
        Some(6)
    );
}

#[test]
fn long_id_truncated_in_the_server_error_counts_as_already_stored() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    // mongod's error has the first 150 bytes of a long key. Here the cut is within an é.
    let id = format!("a{}", "é".repeat(100));
    for _ in 0..2 {
        producer.send(Message::stored(message(&id, "n", 1)));
    }
    producer.send(Message::stored(message("short", "n", 1)));
    producer.flush();
    let mut worker = world.worker().start();
    let metrics = worker.wait_until("all are settled", SHORT, |metrics| {
        metrics.sum(metric::PROCESSED) == 3
    });
    assert_eq!(metrics.sum(metric::REPLAYED), 1);
    assert_eq!(metrics.sum(metric::MONGODB_RETRIES), 0);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    world.check();
    assert_eq!(world.stored().count(), 2);
}

#[test]
fn existing_document_with_the_same_id_is_not_changed() {
    let world = World::new(1);
    let before = doc! { "_id": "taken", "of": "another program" };
    world
        .stored()
        .documents()
        .insert_one(&before)
        .run()
        .unwrap();
    Producer::new(&world)
        .send_now(Message::stored(message("taken", "n", 1)).fate(Fate::Conflict("id_conflict")));
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let found = world.stored().documents().find_one(doc! {}).run().unwrap();
    assert_eq!(found, Some(before));
    assert_eq!(world.dead_letters()[0].reason(), "id_conflict");
}

#[test]
fn lone_record_refused_by_an_index_is_dead_lettered() {
    let world = World::new(1);
    let index = IndexModel::builder()
        .keys(doc! { "metadata.tags": "hashed" })
        .build();
    let collection = world.mongodb().collection::<bson::Document>("messages");
    collection.create_index(index).run().unwrap();
    let producer = Producer::new(&world);
    let worker = world
        .worker()
        .set("mongodb.on_unavailable", "pause")
        .start();
    let poison = Json::message("poison").set("metadata", r#"{"tags":[1]}"#);
    producer.send(Message::stored(poison).fate(Fate::DeadLettered("write_rejected")));
    producer.flush();
    world.wait_committed_to_end(SHORT);
    producer.send(Message::stored(message("good", "n", 1)));
    producer.flush();
    world.wait_committed_to_end(SHORT);
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (1, 1));
    assert_eq!(world.dead_letters()[0].header("dlq.error_code"), "16766");
}
