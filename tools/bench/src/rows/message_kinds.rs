//! What it costs to check a message and to make its document, by what a message may be: the default, any object, or what
//! a JSON Schema accepts.

use std::time::{Instant, SystemTime};

use kafka_mongo_consumer::per_record::{
    Documents, IdSource, JsonSchema, MessageParts, MessageRules, MessageSchema, ReceivedAt,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::report::{Quantity, Row};

#[path = "../../../../benches/own_messages/mod.rs"]
mod own_messages;

/// As a producer of the default's messages sends it.
const EXAMPLE: &str = r#"{"message_id":"550e8400-e29b-41d4-a716-446655440000","name":"Test Message","created_at":"2023-07-15T12:34:56.789Z","metadata":{"source":"api","version":"1.0","priority":1}}"#;

pub fn run(context: &Context) -> Row {
    let mut row = Row::new(
        "message-kinds",
        "checking a message and making its document, by `message.schema`",
    );
    let repeats = context.scale(200_000, 2_000);
    row.settings = json!({ "times in each round": repeats, "counted": "one thread, without Kafka and MongoDB" });
    for (subject, message, rules) in cases() {
        let values: Vec<f64> = (0..context.rounds)
            .map(|_| nanoseconds(&message, &rules, repeats))
            .collect();
        row.observations[&subject] = json!(values);
        row.figure(&subject, Quantity::Bookkeeping, &values);
    }
    row
}

fn cases() -> Vec<(String, String, MessageRules)> {
    let id = |field: &str| IdSource::Field(vec![field.to_owned()]);
    let size = EXAMPLE.len();
    let mut cases = vec![
        (
            format!("four fields, {size} bytes: `specification`"),
            EXAMPLE.to_owned(),
            MessageRules::default(),
        ),
        (
            format!("four fields, {size} bytes: `any`"),
            EXAMPLE.to_owned(),
            MessageRules::new(MessageSchema::Any, id("message_id")),
        ),
    ];
    for message in &own_messages::MESSAGES {
        // As producers send it: without white space.
        let parsed: Value = serde_json::from_str(message.json).expect("it is JSON");
        let text = parsed.to_string();
        let schema = JsonSchema::compile(message.schema).expect("the schema is valid");
        for (name, schema) in [
            ("`any`", MessageSchema::Any),
            (
                "its JSON Schema",
                MessageSchema::JsonSchema(Box::new(schema)),
            ),
        ] {
            cases.push((
                format!("{message}, {} bytes: {name}", text.len()),
                text.clone(),
                MessageRules::new(schema, id("id")),
            ));
        }
    }
    cases
}

fn nanoseconds(message: &str, rules: &MessageRules, repeats: u32) -> f64 {
    let received_at = ReceivedAt::new(SystemTime::now());
    let parts = MessageParts::of_value(Some(message.as_bytes()));
    let mut documents = Documents::default();
    let started = Instant::now();
    for _ in 0..repeats {
        documents.clear();
        documents
            .push(0, &parts, rules, &received_at)
            .expect("the message is valid");
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(repeats)
}
