//! A message's value becomes a document that MongoDB's library can read, or it is refused.
#![no_main]

use std::time::SystemTime;

use bson::{Bson, Document};
use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::core::document::{
    Documents, MessageParts, MessageRules, ReceivedAt, is_same_document,
};
use libfuzzer_sys::fuzz_target;

/// An array of one-digit numbers grows most: an item of two bytes becomes an element of up to ten. A growing buffer has
/// the old and the new place for a moment.
const BUDGET: Budget = Budget::of_memory(16 << 10, 32);

/// The longest text of a refusal, in bytes.
const LONGEST_ERROR: usize = 2048;

fuzz_target!(|value: &[u8]| {
    let received_at = ReceivedAt::new(SystemTime::UNIX_EPOCH);
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
