//! The two examples of `docs/OWN_MESSAGES.md`, as the document has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bson::{Bson, Document, doc};
use serde_json::Value;

use super::{collection, ids, owned, reasons, report, run, settle, worker_of};
use crate::harness::{Message, Producer, World};

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
    assert_eq!(reasons(&world), expected.map(owned));
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
    let mut names = events.list_index_names().run().unwrap();
    names.sort();
    assert_eq!(names, ["_id_", "repository_and_time", "type_1"]);
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
    assert_eq!(reasons(&world), expected.map(owned));

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
