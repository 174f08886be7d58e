//! Helpers for the tests, which are in one file per subject.

mod created_at;
mod limits;
mod message;
mod numbers;
mod own_messages;
mod properties;
mod refusals;
mod schemas;
mod wording;

use std::time::{Duration, SystemTime};

use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument};

use super::{MessageParts, MessageRules, ReceivedAt, append_document};
use crate::core::partition::{Offset, TopicPartition};
use crate::core::rejection::{Reason, Rejection};

const RECEIVED_AT: &str = "2023-07-15T12:35:01.234Z";

/// Bytes that are in the buffer before the document, as those of an earlier document would be.
const BEFORE: &[u8] = b"before";

fn received_at() -> ReceivedAt {
    let at = ReceivedAt::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_689_424_501_234));
    assert_eq!(at.as_str(), RECEIVED_AT);
    at
}

/// Transcodes one payload and returns its document. Checks everything that must hold for any payload.
fn transcode(payload: impl AsRef<[u8]>) -> Result<Vec<u8>, Rejection> {
    transcode_under(&MessageRules::default(), &parts_of(payload.as_ref()))
}

/// A message without a key, at offset 7 of partition 3.
fn parts_of(payload: &[u8]) -> MessageParts<'_> {
    MessageParts {
        key: None,
        value: Some(payload),
        partition: TopicPartition::consumed(3),
        offset: Offset(7),
    }
}

/// The same under rules of the operator's own.
fn transcode_under(rules: &MessageRules, parts: &MessageParts<'_>) -> Result<Vec<u8>, Rejection> {
    let mut out = BEFORE.to_vec();
    let result = append_document(parts, rules, &received_at(), &mut out);
    assert!(out.starts_with(BEFORE), "the bytes before are unchanged");
    let bytes = out.split_off(BEFORE.len());
    match result {
        Ok(()) => {
            assert_well_formed(&bytes);
            Ok(bytes)
        }
        Err(rejection) => {
            assert!(bytes.is_empty(), "a refusal writes nothing");
            assert_presentable(&rejection);
            Err(rejection)
        }
    }
}

fn document_of(payload: impl AsRef<[u8]>) -> Document {
    let bytes = transcode(payload).unwrap();
    Document::from_reader(bytes.as_slice()).unwrap()
}

fn rejection_of(payload: impl AsRef<[u8]>) -> Rejection {
    transcode(payload).unwrap_err()
}

#[track_caller]
fn check_refused(payload: impl AsRef<[u8]>, reason: Reason, field: Option<&str>) {
    let shown = String::from_utf8_lossy(payload.as_ref()).into_owned();
    match transcode(payload) {
        Ok(_) => panic!("accepted instead of refused as {reason}: {shown}"),
        Err(rejection) => {
            assert_eq!(
                (rejection.reason, rejection.field.as_deref()),
                (reason, field),
                "{rejection} for {shown}"
            );
        }
    }
}

/// A message whose `metadata.x` is `value`, given as JSON.
fn with_value(value: &str) -> String {
    with_metadata(&format!(r#"{{"x":{value}}}"#))
}

fn with_metadata(metadata: &str) -> String {
    format!(
        r#"{{"message_id":"m","name":"n","created_at":"2023-07-15T12:34:56Z","metadata":{metadata}}}"#
    )
}

/// A complete message with `fields` (JSON, ending in a comma) before its other fields.
fn with_fields(fields: &str) -> String {
    format!(
        r#"{{{fields}"message_id":"m","name":"n","created_at":"2023-07-15T12:34:56Z","metadata":{{}}}}"#
    )
}

/// Transcodes a message whose `metadata.x` is `value`, and returns `metadata.x` of the document.
fn stored(value: &str) -> Bson {
    let mut document = document_of(with_value(value));
    let Some(Bson::Document(mut metadata)) = document.remove("metadata") else {
        panic!("no metadata in {document}");
    };
    metadata.remove("x").unwrap()
}

fn assert_well_formed(bytes: &[u8]) {
    walk_document(RawDocument::from_bytes(bytes).unwrap());
    let mut rest = bytes;
    Document::from_reader(&mut rest).unwrap();
    assert!(rest.is_empty(), "the length field covers all bytes");
}

fn walk_document(document: &RawDocument) {
    for element in document {
        let (name, value) = element.unwrap();
        assert!(!name.as_str().contains('\0'));
        walk_value(value);
    }
}

fn walk_array(array: &RawArray) {
    // `RawArray` doesn't check the names of its items. MongoDB requires "0", "1", "2", …
    let document = RawDocument::from_bytes(array.as_bytes()).unwrap();
    for (index, element) in document.into_iter().enumerate() {
        let (name, value) = element.unwrap();
        assert_eq!(name.as_str(), index.to_string());
        walk_value(value);
    }
}

fn walk_value(value: RawBsonRef<'_>) {
    match value {
        RawBsonRef::Document(document) => walk_document(document),
        RawBsonRef::Array(array) => walk_array(array),
        RawBsonRef::Double(_)
        | RawBsonRef::String(_)
        | RawBsonRef::Boolean(_)
        | RawBsonRef::Null
        | RawBsonRef::Int32(_)
        | RawBsonRef::Int64(_) => {}
        other => panic!("not a type that JSON has: {other:?}"),
    }
}

/// Checks that a refusal is bounded in length, is one line, and is safe to print.
fn assert_presentable(rejection: &Rejection) {
    let field = rejection.field.as_deref().unwrap_or_default();
    assert!(field.chars().count() <= 200, "{field}");
    assert!(
        rejection.error.chars().count() <= 400,
        "{}",
        rejection.error
    );
    for text in [field, &rejection.error] {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(!rejection.error.starts_with(char::is_uppercase));
    assert_eq!(rejection.code, None);
}
