//! A message's value becomes a document that MongoDB's library can read, or it is refused.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bson::{Bson, Document};
use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::core::document::{
    Documents, IdSource, JsonSchema, MessageParts, MessageRules, MessageSchema, ReceivedAt,
    is_same_document,
};
use libfuzzer_sys::fuzz_target;

/// An array of one-digit numbers grows most: an item of two bytes becomes an element of up to ten. A growing buffer has
/// the old and the new place for a moment.
const BUDGET: Budget = Budget::of_memory(16 << 10, 32);

/// The longest text of a refusal, in bytes.
const LONGEST_ERROR: usize = 2048;

/// A schema whose alternatives lead back to itself, and which copies and compares what it can.
const SCHEMA: &str = r##"{
    "$ref": "#/$defs/any",
    "$defs": {"any": {"anyOf": [
        {"type": "object", "required": ["a"], "additionalProperties": {"$ref": "#/$defs/any"}},
        {"type": "object", "required": ["b"], "properties": {"b": {"$ref": "#/$defs/any"}}, "unevaluatedProperties": false},
        {"type": "array", "uniqueItems": true, "items": {"$ref": "#/$defs/any"}},
        {"type": "string", "pattern": "^(a+)+$"}, {"type": "number", "multipleOf": 0.01}
    ]}}
}"##;

/// An item of an array that must be unique takes some more, and a violation is explained by copies of bounded size.
const BUDGET_OF_A_SCHEMA: Budget = Budget {
    memory: 64 << 20,
    memory_per_byte: 64,
    time: Duration::from_secs(2),
    time_per_byte: Duration::from_micros(20),
};

/// Rules of an operator's own.
static OWN_RULES: LazyLock<[MessageRules; 2]> = LazyLock::new(|| {
    let id = IdSource::Field(vec!["a".to_owned(), "b".to_owned()]);
    let schema = JsonSchema::compile(SCHEMA).expect("the schema is valid");
    let schema = MessageSchema::JsonSchema(Box::new(schema));
    let topic = "t".to_owned();
    [
        MessageRules::new(MessageSchema::Any, id),
        MessageRules::new(schema, IdSource::Position { topic }),
    ]
});

fuzz_target!(|value: &[u8]| {
    let received_at = ReceivedAt::new(SystemTime::UNIX_EPOCH);
    for rules in OWN_RULES.iter() {
        let mut documents = Documents::default();
        let parts = MessageParts::of_value(Some(value));
        let pushed = BUDGET_OF_A_SCHEMA.check(value.len(), || {
            documents.push(0, &parts, rules, &received_at)
        });
        match pushed {
            Err(rejection) => assert!(rejection.error.len() <= LONGEST_ERROR),
            Ok(()) => {
                let raw = documents.get_all(&[0])[0];
                let document = Document::try_from(raw).expect("the document can be read");
                let first = document.keys().next().expect("the document has fields");
                assert_eq!(first, "_id");
            }
        }
    }
    let mut documents = Documents::default();
    let rules = MessageRules::default();
    let parts = MessageParts::of_value(Some(value));
    let pushed = BUDGET.check(value.len(), || {
        documents.push(0, &parts, &rules, &received_at)
    });
    if let Err(rejection) = pushed {
        assert!(
            rejection.error.len() <= LONGEST_ERROR,
            "{}",
            rejection.error.len()
        );
        assert_eq!(
            documents.indexes().count(),
            0,
            "a refused message leaves nothing"
        );
        return;
    }

    let raw = documents.get_all(&[0])[0];
    let document = Document::try_from(raw).expect("the document can be read");
    assert!(is_same_document(raw, raw));
    let id = document.iter().next().expect("the document has fields");
    assert_eq!(id.0, "_id");
    assert_eq!(document.get("message_id"), Some(id.1));
    assert_eq!(
        document.iter().last(),
        Some((
            &"received_at".to_owned(),
            &Bson::String(received_at.as_str().to_owned())
        ))
    );
    // The fields are those of the message, in its order.
    let message: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(value).expect("what became a document is JSON");
    let of_message = message.keys().filter(|name| *name != "_id");
    let of_document = document
        .keys()
        .filter(|name| !matches!(name.as_str(), "_id" | "received_at"));
    assert!(of_message.eq(of_document));
});
