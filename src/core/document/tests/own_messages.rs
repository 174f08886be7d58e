//! Messages under rules of the operator's own, without a JSON Schema.

use bson::{Bson, doc};

use super::super::limits::MAX_DOCUMENT_BYTES;
use super::*;
use crate::core::document::{IdSource, MessageSchema};

fn field(path: &str) -> IdSource {
    IdSource::Field(path.split('.').map(str::to_owned).collect())
}

fn any(id: IdSource) -> MessageRules {
    MessageRules::new(MessageSchema::Any, id)
}

fn position() -> IdSource {
    IdSource::Position {
        topic: "data-topic".to_owned(),
    }
}

/// The document without `received_at`.
#[track_caller]
fn stored_as(id: IdSource, parts: &MessageParts<'_>) -> Document {
    let bytes = transcode_under(&any(id), parts).unwrap();
    let mut document = Document::from_reader(bytes.as_slice()).unwrap();
    let (last, received_at) = document.iter().last().unwrap();
    assert_eq!(
        (last.as_str(), received_at.as_str()),
        ("received_at", Some(RECEIVED_AT))
    );
    document.remove("received_at");
    document
}

#[track_caller]
fn refused(id: IdSource, payload: &str) -> (Reason, Option<String>) {
    let rejection = transcode_under(&any(id), &parts_of(payload.as_bytes())).unwrap_err();
    (rejection.reason, rejection.field)
}

#[test]
fn the_id_is_a_string_or_an_integer_of_any_field_and_keeps_its_type() {
    for (path, payload, expected) in [
        (
            "id",
            r#"{"id":"a","x":1}"#,
            doc! { "_id": "a", "id": "a", "x": 1 },
        ),
        (
            "id",
            r#"{"x":1,"id":7}"#,
            doc! { "_id": 7, "x": 1, "id": 7 },
        ),
        (
            "id",
            r#"{"x":[1],"id":-9223372036854775808}"#,
            doc! { "_id": i64::MIN, "x": [1], "id": i64::MIN },
        ),
        (
            "a.b.c",
            r#"{"x":1,"a":{"b":{"y":0,"c":"deep"},"z":[]}}"#,
            doc! { "_id": "deep", "x": 1, "a": { "b": { "y": 0, "c": "deep" }, "z": [] } },
        ),
        (
            "message_id",
            r#"{"message_id":"m"}"#,
            doc! { "_id": "m", "message_id": "m" },
        ),
        // The message's own `_id`, wherever it stands.
        ("_id", r#"{"_id":"a","x":1}"#, doc! { "_id": "a", "x": 1 }),
        (
            "_id",
            r#"{"x":1,"_id":5,"y":2}"#,
            doc! { "_id": 5, "x": 1, "y": 2 },
        ),
        ("id", r#"{"_id":5,"id":5}"#, doc! { "_id": 5, "id": 5 }),
        (
            "id",
            r#"{"id":"x","y":1,"_id":"x","z":2}"#,
            doc! { "_id": "x", "id": "x", "y": 1, "z": 2 },
        ),
    ] {
        let stored = stored_as(field(path), &parts_of(payload.as_bytes()));
        assert_eq!(stored, expected, "{payload}");
        assert!(stored.keys().eq(expected.keys()), "the order: {stored}");
    }
}

#[test]
fn a_message_without_a_usable_id_is_refused_with_the_path() {
    use Reason::{InvalidField, MissingField, ReservedField};
    for (path, payload, reason) in [
        ("id", "{}", MissingField),
        ("a.id", r#"{"a":{}}"#, MissingField),
        ("a.id", r#"{"a":[{"id":1}]}"#, MissingField),
        ("a.id", r#"{"a":7}"#, MissingField),
        ("a.id", r#"{"a.id":7}"#, MissingField),
        ("id", r#"{"id":""}"#, InvalidField),
        ("id", r#"{"id":null}"#, InvalidField),
        ("id", r#"{"id":1.0}"#, InvalidField),
        ("id", r#"{"id":1e3}"#, InvalidField),
        ("id", r#"{"id":-0}"#, InvalidField),
        ("id", r#"{"id":true}"#, InvalidField),
        ("id", r#"{"id":["a"]}"#, InvalidField),
        ("a.id", r#"{"a":{"id":{"b":1}}}"#, InvalidField),
        ("_id", r#"{"_id":{"x":1}}"#, InvalidField),
    ] {
        assert_eq!(
            refused(field(path), payload),
            (reason, Some(path.to_owned())),
            "{payload}"
        );
    }
    for payload in [
        r#"{"id":"a","_id":"b"}"#,
        r#"{"_id":"b","id":"a"}"#,
        r#"{"_id":"5","id":5}"#,
        r#"{"_id":5.0,"id":5}"#,
        r#"{"_id":{},"id":5}"#,
    ] {
        let refused = refused(field("id"), payload);
        assert_eq!(
            refused,
            (ReservedField, Some("_id".to_owned())),
            "{payload}"
        );
    }
    let refused = refused(field("id"), r#"{"id":1,"received_at":2}"#);
    assert_eq!(refused, (ReservedField, Some("received_at".to_owned())));
}

#[test]
fn the_rules_of_every_message_hold_for_all_of_them() {
    let deep = format!(r#"{{"id":1,"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    for (payload, reason) in [
        ("{", Reason::InvalidJson),
        ("[]", Reason::NotAnObject),
        (r#"{"id":1,"id":1}"#, Reason::DuplicateField),
        (r#"{"id":1,"x":{"a":1,"a":2}}"#, Reason::DuplicateField),
        (r#"{"id":1,"a\u0000":2}"#, Reason::InvalidFieldName),
        (r#"{"id":18446744073709551615}"#, Reason::UnsupportedNumber),
        (
            r#"{"id":123456789012345678901234567890}"#,
            Reason::UnsupportedNumber,
        ),
        (r#"{"id":1,"x":1e999}"#, Reason::UnsupportedNumber),
        (&deep, Reason::NestingTooDeep),
    ] {
        for id in [field("id"), position()] {
            assert_eq!(refused(id, payload).0, reason, "{payload}");
        }
    }
}

#[test]
fn the_key_of_the_record_is_an_id() {
    let with_key = |key| MessageParts {
        key,
        ..parts_of(br#"{"x":1}"#)
    };
    let stored = stored_as(IdSource::Key, &with_key(Some("schlüssel".as_bytes())));
    assert_eq!(stored, doc! { "_id": "schlüssel", "x": 1 });
    for (key, reason) in [
        (None, Reason::MissingField),
        (Some(&b""[..]), Reason::InvalidField),
        (Some(&b"\xff"[..]), Reason::InvalidField),
    ] {
        let rejection = transcode_under(&any(IdSource::Key), &with_key(key)).unwrap_err();
        assert_eq!(
            (rejection.reason, rejection.field.as_deref()),
            (reason, Some("$key"))
        );
    }
    // A fault of the message itself comes first.
    let broken = MessageParts {
        value: Some(b"{"),
        ..with_key(None)
    };
    let rejection = transcode_under(&any(IdSource::Key), &broken).unwrap_err();
    assert_eq!(rejection.reason, Reason::InvalidJson);
}

#[test]
fn the_place_of_the_record_is_an_id() {
    let stored = stored_as(position(), &parts_of(br#"{"x":1}"#));
    assert_eq!(stored, doc! { "_id": "data-topic-3-7", "x": 1 });
    let same = stored_as(position(), &parts_of(br#"{"x":1,"_id":"data-topic-3-7"}"#));
    assert_eq!(same, stored);
    assert_eq!(
        refused(position(), r#"{"_id":"data-topic-3-8"}"#).0,
        Reason::ReservedField
    );
}

#[test]
fn the_fields_of_the_specification_can_go_with_another_id() {
    let rules = MessageRules::new(MessageSchema::Specification, position());
    let judge = |payload: &str| transcode_under(&rules, &parts_of(payload.as_bytes()));
    let whole = with_value("1");
    let bytes = judge(&whole).unwrap();
    let document = Document::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(document.get("_id"), Some(&Bson::from("data-topic-3-7")));
    for (from, to) in [
        (r#""message_id":"m","#, ""),
        (r#""message_id":"m""#, r#""message_id":"""#),
        (r#""message_id":"m""#, r#""message_id":1"#),
        (r#""name":"n""#, r#""name":1"#),
        ("2023-07-15T", "2023-17-15T"),
        (r#""metadata":{"#, r#""metadate":{"#),
    ] {
        let faulty = whole.replace(from, to);
        let (ours, theirs) = (judge(&faulty).unwrap_err(), rejection_of(&faulty));
        assert_eq!(ours, theirs, "{faulty}");
    }
}

#[test]
fn a_message_that_is_obviously_of_another_kind_is_named() {
    #[track_caller]
    fn check(payload: &[u8], reason: Reason, hint: Option<&str>) {
        let rejection = rejection_of(payload);
        assert_eq!(rejection.reason, reason);
        let hints = ["Schema Registry", "Extended JSON", "Debezium"];
        let found = hints
            .into_iter()
            .find(|hint| rejection.error.contains(hint));
        assert_eq!(found, hint, "{rejection}");
    }
    let registry = Some("Schema Registry");
    check(b"\0\0\0\0\x07{\"id\":1}", Reason::InvalidJson, registry);
    check(b"\0\0\0\0\x07\x02\xff\xfe", Reason::InvalidJson, registry);
    check(b"\0\0", Reason::InvalidJson, None);
    check(b"{\"a\":\"\0\"}", Reason::InvalidJson, None);
    let extended = Some("Extended JSON");
    check(
        br#"{"_id":{"$oid":"5f"},"a":1}"#,
        Reason::ReservedField,
        extended,
    );
    check(
        br#"{"message_id":{"$numberLong":"1"},"name":"n"}"#,
        Reason::InvalidField,
        extended,
    );
    check(br#"{"$date":1}"#, Reason::MissingField, None);
    let debezium = Some("Debezium");
    let envelope = r#"{"before":null,"after":{"id":1},"source":{"db":"x"},"op":"c","ts_ms":1}"#;
    check(envelope.as_bytes(), Reason::MissingField, debezium);
    let with_schema = format!(r#"{{"schema":{{}},"payload":{envelope}}}"#);
    check(with_schema.as_bytes(), Reason::MissingField, debezium);
    check(br#"{"op":"c","source":"x"}"#, Reason::MissingField, None);
    check(b"[1]", Reason::NotAnObject, None);
}

#[test]
fn an_own_id_at_the_end_of_a_document_at_its_limit_is_moved_or_refused() {
    let rules = any(field("_id"));
    for id in ["7", "9007199254740993", r#""0123456789""#] {
        for bytes in MAX_DOCUMENT_BYTES - 50..MAX_DOCUMENT_BYTES {
            let text = "x".repeat(bytes);
            let payload = format!(r#"{{"t":"{text}","_id":{id}}}"#);
            match transcode_under(&rules, &parts_of(payload.as_bytes())) {
                Ok(document) => assert!(document.len() <= MAX_DOCUMENT_BYTES),
                Err(rejection) => assert_eq!(rejection.reason, Reason::DocumentTooLarge),
            }
        }
    }
}
