//! Records that MongoDB refuses.

use bson::doc;
use mongodb::IndexModel;
use mongodb::options::{Collation, CollationStrength, IndexOptions};

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

#[test]
fn id_that_the_collation_takes_for_a_stored_one_is_an_id_conflict() {
    let world = World::new(1);
    let ignoring_case = Collation::builder()
        .locale("en")
        .strength(CollationStrength::Secondary)
        .build();
    world
        .mongodb()
        .create_collection("messages")
        .collation(ignoring_case)
        .run()
        .unwrap();
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder()
        .keys(doc! { "name": 1 })
        .options(unique)
        .build();
    let collection = world.mongodb().collection::<bson::Document>("messages");
    collection.create_index(index).run().unwrap();
    let producer = Producer::new(&world);
    producer.send(Message::stored(message("one", "first", 1)));
    producer.send(Message::stored(message("two", "second", 1)));
    producer.send(Message::stored(message("one", "first", 1)));
    producer
        .send(Message::stored(message("ONE", "third", 1)).fate(Fate::DeadLettered("id_conflict")));
    producer.send(
        Message::stored(message("four", "SECOND", 1)).fate(Fate::DeadLettered("write_rejected")),
    );
    producer.flush();
    let mut worker = world.worker().set("consumer.writer_threads", 1).start();
    world.wait_committed_to_end(SHORT);
    let metrics = worker.metrics();
    worker.stop();
    world.check();
    assert_eq!(metrics.sum(metric::REPLAYED), 1);
    for letter in world.dead_letters() {
        let error = letter.header("dlq.error");
        let expected = match letter.reason() {
            "id_conflict" => "collation",
            _ => "a unique index other than that of `_id`",
        };
        assert!(error.contains(expected), "{error}");
        assert_eq!(letter.header("dlq.attempts"), "1");
    }
}

#[test]
fn words_of_mongodb_that_quote_a_record_are_cut_and_never_logged() {
    const SECRET: &str = "not-for-the-log";
    let world = World::new(1);
    let index = IndexModel::builder()
        .keys(doc! { "metadata.place": "2dsphere" })
        .build();
    let collection = world.mongodb().collection::<bson::Document>("messages");
    collection.create_index(index).run().unwrap();
    let producer = Producer::new(&world);
    let place = format!(r#"{{"place":{{"type":"Point","coordinates":["{SECRET}"]}}}}"#);
    let padding = SECRET.repeat(1000);
    let poison = Json::message("poison")
        .set("name", text(&padding))
        .set("metadata", &place);
    producer.send(Message::stored(poison).fate(Fate::DeadLettered("write_rejected")));
    // The server's words about this one quote its id.
    let id = format!("id-{SECRET}");
    producer.send(Message::stored(message(&id, "n", 1)));
    producer.send(Message::stored(message(&id, "n", 2)).fate(Fate::Conflict("id_conflict")));
    producer.flush();
    let mut worker = world.worker().set("logging.level", "TRACE").start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
    for line in worker.log() {
        assert!(!line.raw.contains(SECRET), "{}", line.raw);
    }
    for letter in world.dead_letters() {
        let error = letter.header("dlq.error");
        assert!(error.chars().count() <= 1000, "{error}");
        if letter.reason() == "write_rejected" {
            assert!(error.contains(SECRET), "the server's words: {error}");
        }
    }
}

#[test]
fn many_large_duplicates_are_read_back_in_portions() {
    const COUNT: u64 = 250;
    let world = World::new(1);
    let producer = Producer::new(&world);
    let setup = world
        .worker()
        .set("consumer.writer_threads", 1)
        .set("consumer.batch_size", COUNT)
        .set("consumer.batch_bytes", 32 << 20);
    producer.fill_padded(0..COUNT, 1, 100_000);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    producer.fill_padded(0..COUNT, 1, 100_000);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    let metrics = worker.metrics();
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(metrics.sum(metric::REPLAYED), 250);
    assert_eq!(metrics.sum(metric::MONGODB_RETRIES), 0);
    world.check();
}
