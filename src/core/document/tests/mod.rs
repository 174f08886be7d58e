//! Helpers of the tests, and the tests in files by what they look at.

mod created_at;
mod limits;
mod message;
mod numbers;
mod properties;
mod refusals;
mod wording;

use std::time::{Duration, SystemTime};

use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument};

use super::{ReceivedAt, append_document};
use crate::core::rejection::{Reason, Rejection};

const RECEIVED_AT: &str = "2023-07-15T12:35:01.234Z";

/// What stands in the buffer before: the document of another message, as far as this one is concerned.
const BEFORE: &[u8] = b"before";

fn received_at() -> ReceivedAt {
    let at = ReceivedAt::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_689_424_501_234));
    assert_eq!(at.as_str(), RECEIVED_AT);
    at
}

/// The bytes of the document; checks what holds for every payload.
fn transcode(payload: impl AsRef<[u8]>) -> Result<Vec<u8>, Rejection> {
    let mut out = BEFORE.to_vec();
    let result = append_document(Some(payload.as_ref()), &received_at(), &mut out);
    assert!(out.starts_with(BEFORE), "what stood before is untouched");
    let bytes = out.split_off(BEFORE.len());
    match result {
        Ok(()) => {
            assert_well_formed(&bytes);
            Ok(bytes)
        }
        Err(rejection) => {
            assert!(bytes.is_empty(), "a refusal leaves nothing behind");
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
        Ok(_) => panic!("taken, not refused as {reason}: {shown}"),
        Err(rejection) => {
            assert_eq!(
                (rejection.reason, rejection.field.as_deref()),
                (reason, field),
                "{rejection}, of {shown}"
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

/// A message that is complete, with `fields` (JSON, ending in a comma) in front.
fn with_fields(fields: &str) -> String {
    format!(
        r#"{{{fields}"message_id":"m","name":"n","created_at":"2023-07-15T12:34:56Z","metadata":{{}}}}"#
    )
}

/// What `metadata.x` is in the document.
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
    assert!(rest.is_empty(), "the length is that of the document");
}

fn walk_document(document: &RawDocument) {
    for element in document {
        let (name, value) = element.unwrap();
        assert!(!name.as_str().contains('\0'));
        walk_value(value);
    }
}

fn walk_array(array: &RawArray) {
    // `RawArray` doesn't look at the names of its items; MongoDB wants them counted.
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
        other => panic!("JSON has no {other:?}"),
    }
}

/// Any refusal is of bounded length, in one line, and can be printed as it is.
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
