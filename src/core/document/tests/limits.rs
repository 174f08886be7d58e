//! The limits of depth and size, and objects with many names.

use std::fmt::Write as _;

use super::super::limits::MAX_DOCUMENT_BYTES;
use super::super::{MessageParts, MessageRules, append_document};
use super::{
    check_refused, document_of, received_at, rejection_of, stored, transcode, with_fields,
    with_metadata, with_value,
};
use crate::core::rejection::Reason;

/// Arrays nested in each other, `levels` deep.
fn arrays(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Objects nested in each other, `levels` deep.
fn objects(levels: usize) -> String {
    format!("{}1{}", r#"{"x":"#.repeat(levels), "}".repeat(levels))
}

#[test]
fn a_hundred_levels_are_stored() {
    // The document and `metadata` are the first two levels.
    transcode(with_value(&arrays(98))).unwrap();
    transcode(with_value(&objects(98))).unwrap();
    transcode(with_fields(&format!(r#""a":{},"#, arrays(99)))).unwrap();
}

#[test]
fn more_than_a_hundred_levels_are_refused() {
    // With the two outer levels, 126 is the parser's own limit, 127 one above it, 998 far above it.
    for levels in [99, 100, 125, 126, 127, 998] {
        for value in [arrays(levels), objects(levels)] {
            let rejection = rejection_of(with_value(&value));
            assert_eq!(rejection.reason, Reason::NestingTooDeep, "{levels}");
            let field = rejection.field.unwrap();
            assert!(field.starts_with("metadata.x"), "{field}");
            assert!(field.ends_with('…'), "{field}");
        }
    }
    let rejection = rejection_of(with_fields(&format!(r#""a":{},"#, arrays(100))));
    assert_eq!(rejection.reason, Reason::NestingTooDeep);
}

#[test]
fn deep_nesting_without_closing_brackets_is_invalid_json() {
    for levels in [99, 127, 1000, 100_000] {
        check_refused(with_value(&"[".repeat(levels)), Reason::InvalidJson, None);
        check_refused("{\"a\":".repeat(levels), Reason::InvalidJson, None);
    }
}

/// A message whose document has exactly this many bytes. Its `_id` is the last field.
fn message_of_size(bytes: usize) -> String {
    let message = |text: usize| {
        let text = "x".repeat(text);
        with_metadata(&format!(r#"{{"x":"{text}"}},"_id":"m""#))
    };
    let empty = transcode(message(0)).unwrap().len();
    message(bytes - empty)
}

#[test]
fn the_largest_document_is_stored_and_one_byte_more_is_refused() {
    for bytes in [MAX_DOCUMENT_BYTES - 1, MAX_DOCUMENT_BYTES] {
        assert_eq!(transcode(message_of_size(bytes)).unwrap().len(), bytes);
    }
    for more in [1, 2, 41, 42, 43, 44, 45, 1000] {
        let message = message_of_size(MAX_DOCUMENT_BYTES + more);
        check_refused(message, Reason::DocumentTooLarge, None);
    }
}

#[test]
fn too_large_documents_are_refused_whichever_part_is_large() {
    let half = "x".repeat(MAX_DOCUMENT_BYTES / 2);
    let full = "x".repeat(MAX_DOCUMENT_BYTES);
    for message in [
        with_value(&format!(r#"["{half}","{half}"]"#)),
        with_metadata(&format!(r#"{{"{full}":1}}"#)),
        // Each item takes 2 bytes in JSON and about 10 in BSON.
        with_value(&format!("[{}1]", "1,".repeat(MAX_DOCUMENT_BYTES / 8))),
        // A `message_id` is stored twice: as itself and as `_id`.
        with_metadata("{}").replacen("\"m\"", &format!("\"{half}\""), 1),
    ] {
        check_refused(message, Reason::DocumentTooLarge, None);
    }
}

#[test]
fn a_refused_message_does_not_grow_the_buffer_far_past_the_limit() {
    let mut out = Vec::new();
    let huge = 4 * MAX_DOCUMENT_BYTES;
    for message in [
        with_value(&format!("[{}1]", "{},".repeat(huge / 8))),
        with_value(&format!("\"{}\"", "x".repeat(huge))),
        with_metadata(&format!("{{\"{}\":1}}", "x".repeat(huge))),
    ] {
        append_document(
            &MessageParts::of_value(Some(message.as_bytes())),
            &MessageRules::default(),
            &received_at(),
            &mut out,
        )
        .unwrap_err();
        assert!(out.capacity() <= 2 * MAX_DOCUMENT_BYTES + 1024);
    }
}

/// The beginning of an object with this many fields. It ends with a comma.
fn object_of(names: usize) -> String {
    let mut object = String::from("{");
    for name in 0..names {
        write!(object, "\"name {name}\":{name},").unwrap();
    }
    object
}

#[test]
fn a_duplicate_is_found_among_any_number_of_names() {
    for names in [1, 15, 31, 32, 33, 40, 64, 100_000] {
        let object = object_of(names);
        for duplicate in [0, names / 2, names - 1] {
            // The duplicate is written once plainly and once with its first letter escaped.
            for name in [
                format!("name {duplicate}"),
                format!("\\u006eame {duplicate}"),
            ] {
                check_refused(
                    with_metadata(&format!("{object}\"{name}\":0}}")),
                    Reason::DuplicateField,
                    Some(&format!("metadata.\"name {duplicate}\"")),
                );
            }
        }
        let metadata = document_of(with_metadata(&format!("{object}\"last\":0}}")));
        assert_eq!(metadata.get_document("metadata").unwrap().len(), names + 1);
    }
}

#[test]
fn sibling_and_nested_objects_may_share_names() {
    let many = format!("{}\"x\":0}}", object_of(50));
    stored(&format!(
        "[{many},{many},{{\"x\":{many},\"name 1\":{many}}}]"
    ));
    let outer = format!("{}\"inner\":{many}", object_of(50));
    stored(&format!("{outer}}}"));
    for duplicate in ["inner", "name 3"] {
        check_refused(
            with_value(&format!("{outer},\"after\":{{}},\"{duplicate}\":1}}")),
            Reason::DuplicateField,
            Some(&if duplicate.contains(' ') {
                format!("metadata.x.\"{duplicate}\"")
            } else {
                format!("metadata.x.{duplicate}")
            }),
        );
    }
}
