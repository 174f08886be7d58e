//! The `insert` command: a batch in one buffer, and the server's answer to it.
//!
//! The driver's `insert_many` does the same with several allocations and a map entry a document, which
//! costs a sixth of the worker's CPU time, and retries by itself what the write path retries anyway.

use std::io::Write as _;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::WriteConcern;

use super::classify;
use crate::core::document::MAX_DOCUMENT_BYTES;
use crate::core::write_plan::{Failure, InsertOutcome, Judgement};

/// What a document costs beside its bytes: its type, its place as text, and a zero.
const ELEMENT_BYTES: usize = 12;

/// Types of BSON elements.
const DOCUMENT: u8 = 3;
const ARRAY: u8 = 4;

/// Parts of `documents`, in order, each of which one command can hold: a command may be as large as a
/// document, and a little larger.
pub(super) fn parts<'a, 'd>(
    mut documents: &'a [&'d RawDocument],
) -> impl Iterator<Item = &'a [&'d RawDocument]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = documents.iter().take_while(|document| {
            bytes += document.as_bytes().len() + ELEMENT_BYTES;
            bytes <= MAX_DOCUMENT_BYTES
        });
        // One alone always fits.
        let count = fitting.count().max(1).min(documents.len());
        let (part, rest) = documents.split_at(count);
        documents = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// What each command begins with.
///
/// # Errors
/// When a name can't be written as BSON.
pub(super) fn head(
    collection: &str,
    write_concern: &WriteConcern,
) -> bson::error::Result<RawDocumentBuf> {
    let write_concern = bson::serialize_to_document(write_concern)?;
    let head = doc! { "insert": collection, "ordered": false, "writeConcern": write_concern };
    RawDocumentBuf::try_from(&head)
}

/// The command that inserts `documents` unordered. `head` is what comes before them: the collection and
/// the options.
pub(super) fn command(head: &RawDocument, documents: &[&RawDocument]) -> RawDocumentBuf {
    let content: usize = documents
        .iter()
        .map(|document| document.as_bytes().len() + ELEMENT_BYTES)
        .sum();
    let head = head.as_bytes();
    let mut bytes = Vec::with_capacity(head.len() + content + 32);
    // Without its closing zero.
    bytes.extend_from_slice(&head[..head.len() - 1]);
    bytes.push(ARRAY);
    bytes.extend_from_slice(b"documents\0");
    let array = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    for (index, document) in documents.iter().enumerate() {
        bytes.push(DOCUMENT);
        write!(bytes, "{index}").expect("a vector takes all");
        bytes.push(0);
        bytes.extend_from_slice(document.as_bytes());
    }
    bytes.push(0);
    set_length(&mut bytes, array);
    bytes.push(0);
    set_length(&mut bytes, 0);
    RawDocumentBuf::from_bytes(bytes).expect("invariant: it was written as a document")
}

/// Writes how long what begins at `start` is, up to the end, to where it begins.
fn set_length(bytes: &mut [u8], start: usize) {
    let length = i32::try_from(bytes.len() - start).expect("invariant: a part fits a command");
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// What the server's answer says of `count` documents.
pub(super) fn outcome(answer: &Document, count: usize) -> InsertOutcome {
    if let Ok(refused) = answer.get_document("writeConcernError") {
        return InsertOutcome::Failed(classify::write_concern_failure(
            code_of(refused),
            refused.get_str("codeName").unwrap_or_default(),
            refused.get_str("errmsg").unwrap_or_default(),
        ));
    }
    let empty = Vec::new();
    let errors = answer.get_array("writeErrors").unwrap_or(&empty);
    let failures: Option<Vec<(usize, Failure)>> = errors
        .iter()
        .map(|error| {
            let error = error.as_document()?;
            let index = integer(error.get("index")?)?;
            let failure = classify::document_failure(
                code_of(error),
                error.get_str("codeName").ok(),
                error.get_str("errmsg").unwrap_or_default(),
            );
            Some((usize::try_from(index).ok()?, failure))
        })
        .collect();
    let inserted = answer.get("n").and_then(integer);
    match failures {
        // Nothing counts as stored that the server doesn't count as inserted.
        Some(failures)
            if inserted.and_then(|inserted| usize::try_from(inserted).ok())
                == count.checked_sub(failures.len()) =>
        {
            InsertOutcome::Answered(failures)
        }
        _ => {
            let message = format!(
                "the server's answer to an insert of {count} documents doesn't add up: it inserted \
                 {inserted:?} and refused {}",
                errors.len()
            );
            InsertOutcome::Failed(Failure {
                judgement: Judgement::Server,
                code: None,
                summary: message.clone(),
                message,
            })
        }
    }
}

fn code_of(error: &Document) -> i32 {
    let code = error.get("code").and_then(integer);
    code.and_then(|code| i32::try_from(code).ok())
        .unwrap_or_default()
}

/// Servers differ in the number's type.
fn integer(value: &Bson) -> Option<i64> {
    match *value {
        Bson::Int32(value) => Some(value.into()),
        Bson::Int64(value) => Some(value),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what it is has no fraction"
        )]
        Bson::Double(value) => Some(value as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).unwrap()
    }

    #[test]
    fn a_command_is_what_it_would_be_written_element_by_element() {
        let documents: Vec<Document> = (0..1234)
            .map(|number| doc! { "_id": format!("m-{number}"), "n": number })
            .collect();
        let head =
            doc! { "insert": "messages", "ordered": false, "writeConcern": { "w": 1, "j": true } };
        for count in [0, 1, 9, 10, 11, 1234] {
            let raws: Vec<RawDocumentBuf> = documents[..count].iter().map(raw).collect();
            let references: Vec<&RawDocument> = raws.iter().map(|raw| &**raw).collect();
            let mut expected = head.clone();
            expected.insert("documents", documents[..count].to_vec());
            let command = command(&raw(&head), &references);
            assert_eq!(Document::try_from(command).unwrap(), expected);
        }
    }

    #[test]
    fn parts_hold_all_in_order_and_fit_a_command() {
        let of_size = |bytes: usize| raw(&doc! { "_id": "m", "text": "x".repeat(bytes) });
        let raws: Vec<RawDocumentBuf> = [1, 6 << 20, 6 << 20, 6 << 20, 16 << 20, 1, 1]
            .map(of_size)
            .into();
        let documents: Vec<&RawDocument> = raws.iter().map(|raw| &**raw).collect();
        let counts: Vec<usize> = parts(&documents).map(<[_]>::len).collect();
        assert_eq!(counts, [3, 1, 1, 2]);
        assert_eq!(parts(&documents).flatten().count(), documents.len());
        assert_eq!(parts(&[]).count(), 0);
    }

    #[test]
    fn answers_are_taken_at_their_word_where_they_add_up() {
        let stored = doc! { "n": 3, "ok": 1.0 };
        assert_eq!(outcome(&stored, 3), InsertOutcome::Answered(Vec::new()));
        let refused = doc! { "n": 1_i64, "ok": 1.0, "writeErrors": [
            { "index": 0, "code": 11000, "errmsg": "E11000 duplicate key" },
            { "index": 2, "code": 121, "codeName": "DocumentValidationFailure", "errmsg": "failed" },
        ] };
        let InsertOutcome::Answered(failures) = outcome(&refused, 3) else {
            panic!("the server has answered");
        };
        let judgements: Vec<_> = failures
            .iter()
            .map(|(index, failure)| (*index, failure.judgement, failure.code))
            .collect();
        assert_eq!(
            judgements,
            [
                (0, Judgement::Duplicate, Some(11000)),
                (2, Judgement::Record, Some(121)),
            ]
        );
    }

    #[test]
    fn what_does_not_add_up_or_is_not_safe_settles_nothing() {
        let unsafe_write = doc! { "n": 3, "ok": 1.0, "writeConcernError":
        { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting timed out" } };
        for answer in [
            doc! { "n": 2, "ok": 1.0 },
            doc! { "ok": 1.0 },
            doc! { "n": 3, "ok": 1.0, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "" }] },
            doc! { "n": 2, "ok": 1.0, "writeErrors": [{ "code": 121, "errmsg": "" }] },
            unsafe_write,
        ] {
            let InsertOutcome::Failed(failure) = outcome(&answer, 3) else {
                panic!("{answer} must not settle anything");
            };
            assert_eq!(failure.judgement, Judgement::Server, "{answer}");
        }
    }
}
