//! Where the `_id` comes from, and when two of them are the same.

use bson::{Bson, doc};
use serde_json::Value;

use super::{assert_audited, collection, ids, owned, reasons, settle};
use crate::harness::{Message, Producer, World};

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
    assert_eq!(reasons(&world), expected.map(owned));
    assert_audited(&setup, [4, 4]);

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
    assert_eq!(reasons(&world), expected.map(owned));
    assert_audited(&setup, [3, 3]);
}
