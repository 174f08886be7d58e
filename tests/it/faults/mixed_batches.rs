//! Batches whose records end in different ways: no record affects another one.

use bson::doc;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::harness::{Fate, Json, MINUTE, Message, Producer, SHORT, World, metric};

#[test]
fn already_stored_records_and_index_violations_are_told_apart() {
    let world = World::new(1);
    let unique = IndexOptions::builder().unique(true).build();
    let index = IndexModel::builder()
        .keys(doc! { "number": 1 })
        .options(unique)
        .build();
    world
        .stored()
        .documents()
        .create_index(index)
        .run()
        .unwrap();
    let producer = Producer::new(&world);
    let setup = world.worker().set("consumer.writer_threads", 1);
    producer.fill(0..50, 1);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    // A batch of already stored records, index violations, conflicts and new records, in turn.
    for number in 0..25 {
        producer.send(producer.numbered(number, 1, 0));
        let violator = other(&format!("violator-{number}"), number);
        producer.send(Message::refused(violator, "write_rejected"));
        let conflict = other(&format!("msg-{number:08}"), number + 1000);
        producer.send(Message::stored(conflict).fate(Fate::Conflict("id_conflict")));
        producer.send(producer.numbered(number + 100, 1, 0));
    }
    producer.flush();
    let mut worker = setup.start();
    let metrics = worker.wait_until("all is settled", SHORT, |metrics| {
        super::settled(metrics) == 100
    });
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    for name in [metric::STORED, metric::REPLAYED] {
        assert_eq!(metrics.sum(name), 25, "{name}");
    }
    for reason in ["write_rejected", "id_conflict"] {
        assert_eq!(super::dead_lettered(&metrics, reason), 25, "{reason}");
    }
    world.check();
}

#[test]
fn documents_around_the_size_limit_do_not_affect_other_records() {
    const LIMIT: usize = 16 * 1024 * 1024;
    let world = World::with_topic(1, &[("max.message.bytes", "33000000")]);
    let settings = [("max.message.bytes", "33000000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &settings);
    let producer = Producer::new(&world);
    // The rest of the document is much smaller than 1,000 bytes.
    let padding = [LIMIT - 1000, LIMIT + 1000];
    producer.fill(0..20, 1);
    producer.send(producer.numbered(20, 1, padding[0]));
    producer.fill(21..40, 1);
    producer.send(
        producer
            .numbered(40, 1, padding[1])
            .fate(Fate::DeadLettered("document_too_large")),
    );
    producer.fill(41..60, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (59, 1));
}

/// A valid message with a number, which an index makes unique.
fn other(id: &str, number: u64) -> Json {
    Json::message(id).add("number", number)
}
