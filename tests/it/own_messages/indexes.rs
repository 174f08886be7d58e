//! The indexes of the collection.

use bson::doc;

use super::{collection, reasons, report, settle};
use crate::harness::{Json, MINUTE, Message, Producer, SHORT, WorkerSetup, World, metric, until};

const INDEXES: &str = r#"[
    {"key": {"number": 1}, "unique": true, "sparse": true},
    {"name": 1, "created_at": -1},
    {"key": {"metadata.place": "2dsphere"}, "name": "places"},
    {"name": "text"}
]"#;

#[test]
fn six_workers_create_the_same_indexes_at_once() {
    let world = World::new(6);
    let setup = world.worker().set("mongodb.indexes", INDEXES);
    let mut workers: Vec<_> = (0..6).map(|_| setup.start()).collect();
    let expected = [
        "_id_",
        "name_1_created_at_-1",
        "name_text",
        "number_1",
        "places",
    ];
    until("all indexes are there", SHORT, || {
        let collections = world.mongodb().list_collection_names().run().unwrap();
        if collections.is_empty() {
            return None;
        }
        let mut names = world.stored().indexes();
        names.sort();
        (names == expected).then_some(())
    });
    Producer::new(&world).fill(0..600, 6);
    world.wait_committed_to_end(SHORT);
    for worker in &mut workers {
        worker.stop();
        worker.assert_no_errors();
    }
    world.check();
    let checks = &report(&setup, "check --json --connect")["checks"];
    let mut lines = checks.as_array().unwrap().iter();
    let index = lines.find(|line| line["check"] == "mongodb.index").unwrap();
    assert_eq!(index["status"], "ok", "{index}");
    assert!(
        !index["text"].as_str().unwrap().contains("no index"),
        "{index}"
    );
    // Present indexes are left alone, whatever the server has filled in.
    settle(&world, &setup);
}

/// Otherwise the workers would store what the index forbids, and it could not be built any more.
#[test]
fn nothing_is_stored_before_a_unique_index_is_built() {
    let world = World::with_own_mongodb(2);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let messages = collection(&world, "messages");
    messages.insert_one(doc! { "number": 0 }).run().unwrap();
    let held = world.hold_index_builds();
    let setup = world.worker().set("mongodb.indexes", INDEXES);
    let mut workers: Vec<_> = (0..2).map(|_| setup.start()).collect();
    for worker in &mut workers {
        worker.wait_until("each worker has a partition", MINUTE, |metrics| {
            metrics.sum(metric::ASSIGNED_PARTITIONS) == 1
        });
    }
    let producer = Producer::new(&world);
    for (id, partition) in [("a", 0), ("b", 1)] {
        let value = Json::message(id).add("number", 1);
        producer.send_now(Message::stored(value).partition(partition));
    }
    for worker in &mut workers {
        worker.wait_until("its writer waits", MINUTE, |metrics| {
            metrics.sum(metric::WRITERS_BUSY) > 0
        });
    }
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 1);
    let committed = world.committed();
    let is_none_settled = committed.values().all(|offset| offset.unwrap_or(0) == 0);
    assert!(is_none_settled, "{committed:?}");

    drop(held);
    world.wait_committed_to_end(MINUTE);
    for worker in &mut workers {
        worker.stop();
    }
    assert_eq!(messages.count_documents(doc! {}).run().unwrap(), 2);
    let reasons: Vec<_> = reasons(&world)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, ["write_rejected"]);
}

#[test]
fn an_index_in_conflict_ends_the_start_and_is_named() {
    let world = World::new(1);
    let messages = collection(&world, "messages");
    let plain = mongodb::IndexModel::builder()
        .keys(doc! { "number": 1 })
        .build();
    messages.create_index(plain).run().unwrap();
    let setup = world.worker().set("mongodb.indexes", INDEXES);
    let finished = setup.run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let named = "the index `number_1` of `mongodb.indexes` exists with other options";
    assert!(finished.errors.contains(named), "{}", finished.errors);
    let checked = setup.clone().argument("check").argument("--connect").run();
    assert_eq!(checked.code, Some(4), "{}", checked.errors);
    assert!(checked.output.contains(named), "{}", checked.output);

    // Documents that a unique index forbids.
    messages.drop_index("number_1").run().unwrap();
    let twice = [doc! { "number": 1 }, doc! { "number": 1 }];
    messages.insert_many(twice).run().unwrap();
    let finished = setup.run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let named = "the index `number_1` of `mongodb.indexes` can't be created; the collection has documents that it forbids";
    assert!(finished.errors.contains(named), "{}", finished.errors);

    // An option that the server doesn't know.
    let unknown = r#"[{"key": {"a": 1}, "uniqe": true}]"#;
    let finished = world.worker().set("mongodb.indexes", unknown).run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    assert!(
        finished.errors.contains("`a_1`") && finished.errors.contains("uniqe"),
        "{}",
        finished.errors
    );
}

/// The configuration says less than the index has.
#[test]
fn a_unique_index_with_more_options_is_left_alone() {
    let world = World::new(1);
    let messages = collection(&world, "messages");
    let options = mongodb::options::IndexOptions::builder()
        .unique(true)
        .partial_filter_expression(doc! { "number": { "$gt": 5 } })
        .build();
    let index = mongodb::IndexModel::builder()
        .keys(doc! { "number": 1 })
        .options(options)
        .build();
    messages.create_index(index).run().unwrap();
    Producer::new(&world).fill(0..10, 1);
    let unique = r#"[{"key": {"number": 1}, "unique": true}]"#;
    settle(&world, &world.worker().set("mongodb.indexes", unique));
    world.check();
    assert_eq!(world.stored().indexes().len(), 2);
}

/// The workers create it.
#[test]
fn a_command_that_stores_refuses_to_store_without_a_unique_index() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let setup = world.worker().set("mongodb.indexes", INDEXES);
    settle(&world, &setup);
    let messages = collection(&world, "messages");
    messages.drop_index("number_1").run().unwrap();
    for command in [
        "audit --repair",
        "dead-letters replay --reason invalid_json",
    ] {
        let finished = command
            .split(' ')
            .fold(setup.clone(), WorkerSetup::argument)
            .run();
        assert_eq!(finished.code, Some(4), "{command}: {}", finished.errors);
        for words in ["`number_1`", "start a worker first"] {
            assert!(finished.errors.contains(words), "{}", finished.errors);
        }
    }
}

#[test]
fn no_index_is_created_if_none_is_asked_for() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let setup = world.worker().set("mongodb.indexes", "[]");
    settle(&world, &setup);
    assert_eq!(world.stored().indexes(), ["_id_"]);
    world.check();
}
