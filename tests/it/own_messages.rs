//! Messages of other kinds than the specification's: `message.schema`, `message.id` and `mongodb.indexes`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bson::{Bson, Document, doc};
use mongodb::sync::Collection;
use serde_json::Value;

use crate::harness::{Finished, Message, Producer, SHORT, Servers, WorkerSetup, World, until};

/// The named examples of `docs/OWN_MESSAGES.md`.
fn examples() -> BTreeMap<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OWN_MESSAGES.md");
    let text = fs::read_to_string(file).unwrap();
    let blocks = text.split("\n```json ").skip(1);
    let examples: BTreeMap<String, String> = blocks
        .map(|block| {
            let (name, rest) = block.split_once('\n').unwrap();
            let (example, _) = rest.split_once("\n```").unwrap();
            (name.to_owned(), example.to_owned())
        })
        .collect();
    assert_eq!(examples.len(), 5, "{:?}", examples.keys());
    examples
}

/// A worker that takes everything from this configuration but the servers and the names of this world.
fn worker_of(world: &World, name: &str, config: &str) -> WorkerSetup {
    let file = world.path(&format!("{name}.json"));
    fs::write(&file, config).unwrap();
    world.worker().config_file(file)
}

#[track_caller]
fn run(setup: WorkerSetup, arguments: &str) -> Finished {
    let finished = arguments
        .split(' ')
        .fold(setup, WorkerSetup::argument)
        .run();
    assert_eq!(finished.code, Some(0), "{arguments}: {}", finished.errors);
    finished
}

#[track_caller]
fn report(setup: &WorkerSetup, arguments: &str) -> Value {
    let output = run(setup.clone(), arguments).output;
    serde_json::from_str(&output).unwrap()
}

/// Lets a worker settle all that is in the topic.
#[track_caller]
fn settle(world: &World, setup: &WorkerSetup) {
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
}

fn collection(world: &World, name: &str) -> Collection<Document> {
    world.mongodb().collection(name)
}

fn ids(collection: &Collection<Document>) -> Vec<Bson> {
    let documents = collection
        .find(doc! {})
        .sort(doc! { "_id": 1 })
        .run()
        .unwrap();
    documents
        .map(|document| document.unwrap().remove("_id").unwrap())
        .collect()
}

/// The reasons of the dead letters, in the order of their messages.
fn reasons(world: &World) -> Vec<(i64, String)> {
    let letters = world.dead_letters();
    let mut reasons: Vec<_> = letters
        .iter()
        .map(|letter| (letter.source().1, letter.reason().to_owned()))
        .collect();
    reasons.sort();
    reasons
}

#[test]
fn the_events_of_the_documentation_are_stored_and_judged_as_it_says() {
    let examples = examples();
    let config: Value = serde_json::from_str(&examples["events"]).unwrap();
    assert_eq!(config["message"]["schema"], "event.schema.json");
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let schema = world.path("event.schema.json");
    fs::write(&schema, &examples["event.schema.json"]).unwrap();
    let setup =
        worker_of(&world, "events", &examples["events"]).set("message.schema", schema.display());

    let event = &examples["event"];
    let producer = Producer::new(&world);
    let send = |value: &str| producer.send_now(Message::stored(value).partition(0));
    send(event);
    send(event);
    let broken = event
        .replace(r#""id": 1296269"#, r#""id": 0"#)
        .replace("22249084964", "1");
    send(&broken);
    send(&event.replace("22249084964", "2"));
    send(&event.replace(r#""id": "22249084964", "#, ""));
    send(
        &event
            .replace("22249084964", "3")
            .replace("12:47:28Z", "12:47:29Z"),
    );

    let sample = &report(&setup, "check --json --connect --sample 1000")["sample"];
    // What a unique index refuses shows only in an insert.
    assert_eq!(
        [&sample["would_be_stored"], &sample["already_stored"]],
        [&Value::from(3), &Value::from(1)],
        "{sample}"
    );
    settle(&world, &setup);

    let events = collection(&world, "events");
    assert_eq!(ids(&events), ["22249084964", "3"].map(Bson::from));
    let stored = events
        .find_one(doc! { "_id": "22249084964" })
        .run()
        .unwrap()
        .unwrap();
    let mut stored = stored.into_iter().collect::<Vec<_>>();
    stored.remove(0);
    stored.pop();
    let expected: Document = serde_json::from_str(event).unwrap();
    let as_it_came = stored.into_iter().collect::<Document>();
    assert_eq!(as_it_came.to_string(), expected.to_string());

    let expected = [
        (2, "schema_violation"),
        (3, "write_rejected"),
        (4, "missing_field"),
    ];
    assert_eq!(
        reasons(&world),
        expected.map(|(offset, reason)| (offset, reason.to_owned()))
    );
    for letter in world.dead_letters() {
        match letter.reason() {
            "schema_violation" => {
                let error = letter.header("dlq.error");
                assert!(
                    error.contains("`repo.id` breaks `minimum` of the message's schema"),
                    "{error}"
                );
            }
            "write_rejected" => assert_eq!(letter.header("dlq.error_code"), "11000"),
            _ => {}
        }
    }
    let audited = report(&setup, "audit --json");
    assert_eq!(
        [&audited["stored"], &audited["dead_lettered"]],
        [3, 3],
        "{audited}"
    );

    // The schema is corrected, and the letters come home.
    run(
        setup.clone().set("message.schema", "any"),
        "dead-letters replay --reason schema_violation",
    );
    assert_eq!(ids(&events), ["1", "22249084964", "3"].map(Bson::from));
    let audited = report(&setup.set("message.schema", "any"), "audit --json");
    assert_eq!([&audited["stored"], &audited["both"]], [3, 1], "{audited}");
    let names = events.list_index_names().run().unwrap();
    assert_eq!(names, ["_id_", "type_1", "repository_and_time"]);
}

#[test]
fn the_readings_of_the_documentation_are_stored_once_by_their_place() {
    let examples = examples();
    let world = World::new(2);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    let setup = worker_of(&world, "readings", &examples["readings"]);
    let readings = collection(&world, "readings");
    let place = |partition: i32, offset: i64| format!("{}-{partition}-{offset}", world.topic);
    // Another document is at one place, and the collection takes no cold readings for now.
    let options = doc! { "create": "readings", "validator": { "celsius": { "$gte": 0 } } };
    world.mongodb().run_command(options).run().unwrap();
    let other = doc! { "_id": place(1, 0), "celsius": 1 };
    readings.insert_one(other).run().unwrap();

    let reading = &examples["reading"];
    let producer = Producer::new(&world);
    let send = |partition, value: &str| {
        producer.send_now(Message::stored(value).partition(partition));
    };
    send(0, reading);
    send(0, reading);
    send(0, &reading.replace("71.25", "-5"));
    send(1, reading);
    send(1, &reading.replace("71.25", "70"));
    settle(&world, &setup);
    let stored = [place(0, 0), place(0, 1), place(1, 0), place(1, 1)];
    assert_eq!(ids(&readings), stored.clone().map(Bson::from));
    let expected = [(0, "id_conflict"), (2, "write_rejected")];
    assert_eq!(
        reasons(&world),
        expected.map(|(offset, reason)| (offset, reason.to_owned()))
    );

    // The same places again change nothing.
    world.commit(0, 0);
    world.commit(1, 1);
    settle(&world, &setup);
    assert_eq!(ids(&readings), stored.map(Bson::from));
    let sample = &report(&setup, "check --json --sample 1000 --from-beginning")["sample"];
    assert_eq!(
        [&sample["would_be_stored"], &sample["already_stored"]],
        [1, 3],
        "{sample}"
    );

    // A replayed letter has the place of its original.
    let command = doc! { "collMod": "readings", "validator": {} };
    world.mongodb().run_command(command).run().unwrap();
    run(setup.clone(), "dead-letters replay --reason write_rejected");
    let cold = readings
        .find_one(doc! { "_id": place(0, 2) })
        .run()
        .unwrap()
        .unwrap();
    assert_eq!(cold.get("celsius"), Some(&Bson::Int32(-5)));
    let audited = report(&setup, "audit --json");
    assert_eq!(
        [
            &audited["stored"],
            &audited["both"],
            &audited["dead_lettered"]
        ],
        [3, 1, 1],
        "{audited}"
    );
    let names = readings.list_index_names().run().unwrap();
    assert_eq!(names, ["_id_", "sensor_1_at_1"]);
}

#[test]
fn integer_ids_are_kept_and_compared_as_mongodb_does() {
    let world = World::new(1);
    let setup = world
        .worker()
        .set("message.schema", "any")
        .set("message.id", "order.number");
    let messages = collection(&world, "messages");
    messages.insert_one(doc! { "_id": 7.0 }).run().unwrap();
    let producer = Producer::new(&world);
    for value in [
        r#"{"order":{"number":5}}"#,
        r#"{"order":{"number":5}}"#,
        r#"{"order":{"number":5,"x":1}}"#,
        r#"{"order":{"number":"5"}}"#,
        r#"{"order":{"number":9007199254740993}}"#,
        r#"{"order":{"number":7}}"#,
        r#"{"order":{"number":1.5}}"#,
        r#"{"order":[]}"#,
    ] {
        producer.send_now(Message::stored(value).partition(0));
    }
    settle(&world, &setup);
    let expected = [
        Bson::Int32(5),
        Bson::Double(7.0),
        Bson::Int64(9_007_199_254_740_993),
        Bson::from("5"),
    ];
    assert_eq!(ids(&messages), expected);
    let expected = [
        (2, "id_conflict"),
        (5, "id_conflict"),
        (6, "invalid_field"),
        (7, "missing_field"),
    ];
    assert_eq!(
        reasons(&world),
        expected.map(|(offset, reason)| (offset, reason.to_owned()))
    );
    let audited = report(&setup, "audit --json");
    assert_eq!(
        [&audited["stored"], &audited["dead_lettered"]],
        [4, 4],
        "{audited}"
    );

    // What another program has changed is named by its id.
    let change = doc! { "$set": { "order.x": 2 } };
    messages
        .update_one(doc! { "_id": 5 }, change)
        .run()
        .unwrap();
    let finished = setup.argument("audit").argument("--json").run();
    assert_eq!(finished.code, Some(6), "{}", finished.errors);
    let audited: Value = serde_json::from_str(&finished.output).unwrap();
    assert_eq!(audited["problems"][0]["message_id"], 5, "{audited}");
}

#[test]
fn the_key_of_a_record_is_its_id() {
    let world = World::new(1);
    let setup = world
        .worker()
        .set("message.schema", "any")
        .set("message.id", "$key");
    let producer = Producer::new(&world);
    for (key, value) in [
        (Some("a"), "{}"),
        (Some("b"), r#"{"x":1}"#),
        (Some("a"), "{}"),
        (Some("a"), r#"{"x":1}"#),
        (None, "{}"),
        (Some(""), "{}"),
    ] {
        let message = Message::stored(value).partition(0);
        producer.send_now(match key {
            Some(key) => message.key(key),
            None => message,
        });
    }
    settle(&world, &setup);
    assert_eq!(
        ids(&collection(&world, "messages")),
        ["a", "b"].map(Bson::from)
    );
    let expected = [
        (3, "id_conflict"),
        (4, "missing_field"),
        (5, "invalid_field"),
    ];
    assert_eq!(
        reasons(&world),
        expected.map(|(offset, reason)| (offset, reason.to_owned()))
    );
    let audited = report(&setup, "audit --json");
    assert_eq!(
        [&audited["stored"], &audited["dead_lettered"]],
        [3, 3],
        "{audited}"
    );
}

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

#[test]
fn no_index_is_created_if_none_is_asked_for() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let setup = world.worker().set("mongodb.indexes", "[]");
    settle(&world, &setup);
    assert_eq!(world.stored().indexes(), ["_id_"]);
    world.check();
}

#[test]
fn a_schema_that_can_not_be_used_ends_the_start_with_2() {
    let world = World::bare(Servers::of_the_run());
    let schema = world.path("message.schema.json");
    fs::write(
        &schema,
        r#"{"properties": {"a": {"pattern": "(?=secret)"}}}"#,
    )
    .unwrap();
    let setup = world.worker().set("message.schema", schema.display());
    for setup in [setup.clone(), setup.argument("check")] {
        let finished = setup.run();
        assert_eq!(finished.code, Some(2), "{}", finished.errors);
        assert!(
            finished.errors.contains("/properties/a/pattern"),
            "{}",
            finished.errors
        );
    }
}

#[test]
fn an_audit_finds_what_was_stored_under_another_schema() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for number in 0..10 {
        producer.send(Message::refused(
            format!(r#"{{"id":{number}}}"#),
            "schema_violation",
        ));
    }
    producer.flush();
    let setup = world
        .worker()
        .set("message.schema", "any")
        .set("message.id", "id");
    settle(&world, &setup);
    let file = world.path("stricter.json");
    fs::write(&file, r#"{"required": ["name"]}"#).unwrap();
    let stricter = setup.set("message.schema", file.display());
    let audited = report(&stricter, "audit --json");
    assert_eq!(
        (&audited["stored"], &audited["missing"]),
        (&10.into(), &0.into())
    );
    let repaired = report(&stricter, "audit --repair --json");
    assert_eq!(repaired["missing"], 0);
    assert_eq!(world.dead_letters().len(), 0);
}
