//! The document of a valid message: the order of its fields, `_id`, `received_at`, and its texts.

use std::time::{Duration, SystemTime};

use bson::{Bson, doc};

use super::{RECEIVED_AT, ReceivedAt, document_of, stored, with_fields, with_metadata};

fn check_names(payload: &str, expected: &[&str]) {
    let document = document_of(payload);
    assert_eq!(document.keys().collect::<Vec<_>>(), expected, "{payload}");
}

#[test]
fn the_specified_message_becomes_the_specified_document() {
    let document = document_of(
        r#"{
            "message_id": "msg-uuid-string",
            "name": "item_12345678",
            "created_at": "2023-07-15T12:34:56.789Z",
            "metadata": { "source": "system-a", "version": "1.0.0" }
        }"#,
    );
    let expected = doc! {
        "_id": "msg-uuid-string",
        "message_id": "msg-uuid-string",
        "name": "item_12345678",
        "created_at": "2023-07-15T12:34:56.789Z",
        "metadata": { "source": "system-a", "version": "1.0.0" },
        "received_at": RECEIVED_AT,
    };
    assert_eq!(document, expected);
    assert!(document.keys().eq(expected.keys()));
}

#[test]
fn id_comes_first_and_all_other_fields_keep_their_order() {
    check_names(
        r#"{"z":1,"metadata":{},"name":"n","a":[],"created_at":"2023-07-15T12:34:56Z","message_id":"m","b":{}}"#,
        &[
            "_id",
            "z",
            "metadata",
            "name",
            "a",
            "created_at",
            "message_id",
            "b",
            "received_at",
        ],
    );
    check_names(
        r#"{"name":"n","message_id":"m","metadata":{},"created_at":"2023-07-15T12:34:56Z"}"#,
        &[
            "_id",
            "name",
            "message_id",
            "metadata",
            "created_at",
            "received_at",
        ],
    );
}

#[test]
fn an_id_equal_to_message_id_is_stored_once() {
    let names = [
        "_id",
        "message_id",
        "name",
        "created_at",
        "metadata",
        "received_at",
    ];
    check_names(&with_fields(r#""_id":"m","#), &names);
    check_names(&with_fields(r#""\u005fid":"\u006d","#), &names);
    let after = with_metadata(r#"{},"_id":"m""#);
    check_names(&after, &names);
    assert_eq!(document_of(after).get_str("_id").unwrap(), "m");
    check_names(
        &with_metadata(r#"{},"_id":"m","more":1"#),
        &[
            "_id",
            "message_id",
            "name",
            "created_at",
            "metadata",
            "more",
            "received_at",
        ],
    );
}

#[test]
fn nested_id_and_received_at_are_ordinary_fields() {
    let document = document_of(with_metadata(
        r#"{"_id":7,"received_at":null,"message_id":[]}"#,
    ));
    assert_eq!(
        document.get_document("metadata").unwrap(),
        &doc! {"_id": 7, "received_at": null, "message_id": []}
    );
}

#[test]
fn any_message_id_becomes_the_id() {
    for id in ["x", "é", "\u{1f600}", &"long".repeat(10_000)] {
        let payload = format!(
            r#"{{"a":1,"message_id":"{id}","name":"","created_at":"2023-07-15T12:34:56Z","metadata":{{}}}}"#
        );
        let document = document_of(payload);
        assert_eq!(document.get_str("_id").unwrap(), id);
        assert_eq!(document.get_str("message_id").unwrap(), id);
        assert_eq!(document.get_i32("a").unwrap(), 1);
    }
}

#[test]
fn required_fields_are_recognized_by_their_decoded_names() {
    check_names(
        r#"{"message\u005fid":"m","nam\u0065":"n","created_\u0061t":"2023-07-15T12:34:56Z","\u006detadata":{}}"#,
        &[
            "_id",
            "message_id",
            "name",
            "created_at",
            "metadata",
            "received_at",
        ],
    );
}

#[test]
fn texts_are_stored_without_any_change() {
    for (json, text) in [
        (r#""""#, ""),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""a\u0000b""#, "a\0b"),
        (r#""\u00e9é\u20ac€""#, "éé€€"),
        (r#""\ud83d\uDE00""#, "\u{1f600}"),
        (r#""\uFFFF\ufeff""#, "\u{ffff}\u{feff}"),
        ("\"\u{7f}\u{85}\u{2028}\"", "\u{7f}\u{85}\u{2028}"),
        (r#""\\u0000 \\ud800""#, r"\u0000 \ud800"),
    ] {
        assert_eq!(stored(json), Bson::String(text.to_owned()), "{json}");
    }
}

#[test]
fn simple_values_and_empty_containers_keep_their_types() {
    assert_eq!(stored("null"), Bson::Null);
    assert_eq!(stored("true"), Bson::Boolean(true));
    assert_eq!(stored("false"), Bson::Boolean(false));
    assert_eq!(stored("{}"), Bson::Document(doc! {}));
    assert_eq!(stored("[]"), Bson::Array(vec![]));
    assert_eq!(
        stored(r#"{"":{"":[[],{}]}}"#),
        Bson::Document(doc! {"": {"": [[], {}]}})
    );
}

#[test]
fn array_items_are_named_by_their_decimal_index() {
    // `stored` checks the names of all items. There are enough items for names of 1 to 5 digits.
    let items = vec!["0"; 12_345].join(",");
    let Bson::Array(array) = stored(&format!("[{items}]")) else {
        panic!("no array");
    };
    assert_eq!(array.len(), 12_345);
}

#[test]
fn json_whitespace_is_accepted_everywhere() {
    let payload = "\t\r\n {\n\"message_id\" :\t\"m\" , \"name\":\"n\",\r\"created_at\":\"2023-07-15T12:34:56Z\",\"metadata\": { } \n} \r\n\t";
    assert_eq!(document_of(payload).len(), 6);
}

#[test]
fn received_at_is_cut_to_milliseconds() {
    let check = |t: SystemTime, expected: &str| assert_eq!(ReceivedAt::new(t).as_str(), expected);
    let epoch = SystemTime::UNIX_EPOCH;
    check(epoch, "1970-01-01T00:00:00.000Z");
    check(
        epoch + Duration::from_nanos(999_999),
        "1970-01-01T00:00:00.000Z",
    );
    check(
        epoch + Duration::from_micros(1_999_999),
        "1970-01-01T00:00:01.999Z",
    );
    check(
        epoch + Duration::from_secs(951_782_400),
        "2000-02-29T00:00:00.000Z",
    );
}

#[test]
fn received_at_is_rfc_3339_even_if_the_clock_is_wrong() {
    let epoch = SystemTime::UNIX_EPOCH;
    let far = Duration::from_secs(1_000_000_000_000);
    for before in [epoch - Duration::from_millis(1), epoch - far] {
        assert_eq!(ReceivedAt::new(before).as_str(), "1970-01-01T00:00:00.000Z");
    }
    let end = ReceivedAt::new(epoch + far);
    assert!(end.as_str().starts_with("9999-12-30T"), "{end:?}");
    assert_eq!(end.as_str().len(), RECEIVED_AT.len());
}
