//! `check --sample` against real servers: what it says would happen, and that it changes nothing.

use std::collections::BTreeMap;

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{Fate, Finished, Json, Message, Producer, SHORT, WorkerSetup, World, text};

#[track_caller]
fn sample(world: &World, arguments: &str) -> (Finished, Value) {
    let arguments = format!("check --json --sample {arguments}");
    let finished = arguments
        .split(' ')
        .fold(world.worker(), WorkerSetup::argument)
        .run();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.output).unwrap();
    (finished, report["sample"].clone())
}

fn counts(sample: &Value) -> [u64; 3] {
    ["read", "would_be_stored", "already_stored"].map(|key| sample[key].as_u64().unwrap())
}

/// Each reason with its count and the partition and offset of its first message.
fn rejected(sample: &Value) -> BTreeMap<&str, (u64, i64, i64)> {
    let rejected = sample["would_be_dead_lettered"].as_array().unwrap();
    let entry = |found: &'static str, of: &Value| of[found].as_i64().unwrap();
    rejected
        .iter()
        .map(|one| {
            let first = &one["first"];
            let place = (entry("partition", first), entry("offset", first));
            let count = one["count"].as_u64().unwrap();
            (one["reason"].as_str().unwrap(), (count, place.0, place.1))
        })
        .collect()
}

#[test]
fn a_sample_tells_what_would_happen_to_each_message() {
    let world = World::new(3);
    let producer = Producer::new(&world);
    // A worker stores some. Then the group is set back, so that they are read again.
    producer.fill(0..30, 3);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    for partition in 0..3 {
        world.commit(partition, 2);
    }
    let messages = world.mongodb().collection("messages");
    let other = doc! { "_id": "taken", "name": "another" };
    messages.insert_one(other).run().unwrap();

    producer.fill(100..106, 3);
    let at = world.bounds()[&1].end;
    for message in [
        Message::refused("{\"secret-payload", "invalid_json"),
        Message::refused("{", "invalid_json"),
        Message::refused("[]", "not_an_object"),
        Message::refused(Json::message("x").without("name"), "missing_field"),
        Message::stored(Json::message("taken")).fate(Fate::Conflict("id_conflict")),
        // The same twice, and then another one of the same `_id`: MongoDB has none of them yet.
        Message::stored(Json::message("twice")),
        Message::stored(Json::message("twice")),
        Message::stored(Json::message("twice").set("name", text("secret-name")))
            .fate(Fate::Conflict("id_conflict")),
    ] {
        producer.send_now(message.partition(1));
    }
    let before = (world.committed(), world.stored().count());
    let (finished, report) = sample(&world, "1000");
    // Of each partition the offsets from 2 on: 24 of the 30, 6 new ones, and 8 special ones.
    assert_eq!(counts(&report), [38, 7, 25], "{report}");
    let expected = BTreeMap::from([
        ("invalid_json", (2, 1, at)),
        ("not_an_object", (1, 1, at + 2)),
        ("missing_field", (1, 1, at + 3)),
        ("id_conflict", (2, 1, at + 4)),
    ]);
    assert_eq!(rejected(&report), expected, "{report}");
    assert_eq!(report["message_bytes"]["min"], 1);
    assert!(report["document_bytes"]["max"].as_u64() > Some(100));
    assert!(report["oldest_timestamp"].is_string());
    for page in [&finished.output, &finished.errors] {
        assert!(!page.contains("secret"), "{page}");
    }
    assert_eq!((world.committed(), world.stored().count()), before);
    assert!(!world.has_dead_letter_topic());
    assert_eq!(world.members(), 0);

    // The worker does what the sample said.
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.stored().count(), before.1 + 7);
    assert_eq!(world.dead_letters().len(), 6);
    // Nothing is left for another sample.
    let (_, report) = sample(&world, "5");
    assert_eq!(counts(&report), [0, 0, 0], "{report}");
    let (_, report) = sample(&world, "5 --from-beginning");
    assert_eq!(counts(&report), [5, 0, 5], "{report}");
}

#[test]
fn a_sample_is_spread_over_the_partitions() {
    let world = World::new(3);
    let producer = Producer::new(&world);
    producer.fill(0..60, 2);
    for number in 0..2 {
        producer.send_now(producer.numbered(100 + number, 1, 0).partition(2));
    }
    // The messages are spread as 30, 30 and 2, and retention has deleted the first 20 of the first partition.
    world.admin.delete_records(&world.topic, 0, 20);
    let bad = |partition| Message::refused("{", "invalid_json").partition(partition);
    for partition in 0..3 {
        producer.send_now(bad(partition));
    }
    let (_, report) = sample(&world, "12");
    // 3 from the smallest partition, with its bad one, and the first ones of the others.
    assert_eq!(counts(&report), [12, 11, 0], "{report}");
    assert_eq!(rejected(&report)["invalid_json"], (1, 2, 2));
    let (_, report) = sample(&world, "1000");
    assert_eq!(counts(&report), [45, 42, 0], "{report}");
}

#[test]
fn a_sample_ends_behind_the_markers_of_transactions() {
    let world = World::new(1);
    let transactional = Producer::with(&world, &[("transactional.id", &world.topic)]);
    transactional.begin();
    transactional.fill(0..5, 1);
    transactional.commit();
    let (_, report) = sample(&world, "100");
    assert_eq!(counts(&report), [5, 5, 0], "{report}");
    assert_eq!(report["topic"], json!(world.topic));
}

#[test]
fn a_sample_beside_failed_checks_is_skipped() {
    let world = World::new(1);
    let finished = "check --connect --sample 5"
        .split(' ')
        .fold(world.worker(), WorkerSetup::argument)
        .set("mongodb.write_concern.w", 2)
        .run();
    assert_eq!(finished.code, Some(4), "{finished:?}");
    assert!(
        finished.output.contains("no sample was taken"),
        "{finished:?}"
    );
}
