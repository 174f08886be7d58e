//! The texts of refusals: their sentences, their paths, and that they never quote a value.

use super::{check_refused, rejection_of, with_fields, with_metadata, with_value};
use crate::core::rejection::Reason;

#[track_caller]
fn check_error(payload: impl AsRef<[u8]>, error: &str) {
    assert_eq!(rejection_of(payload).to_string(), error);
}

#[test]
fn each_error_says_what_is_wrong_in_words() {
    for (payload, error) in [
        (
            "[1,2]",
            "not_an_object: the message must be a JSON object, but is an array",
        ),
        (
            "{\n\"a\":}",
            "invalid_json: the message is not valid JSON: expected value at line 2 column 5",
        ),
        (
            "{\"a\":\"\\n\n\"}",
            "invalid_json: the message is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 8",
        ),
        (
            "\u{feff}{}",
            "invalid_json: the message is not valid JSON: it begins with a byte order mark (EF BB BF); leave it out",
        ),
        (
            "{\"received_at\":1,\n \"é\": \"\\ud800\"}",
            "invalid_json: the message is not valid JSON: lone surrogate in a \\u escape at line 2 column 9",
        ),
        (
            "{}",
            "missing_field: `message_id` is missing; it must be a non-empty string",
        ),
        (
            "{\"message_id\":\"\"}",
            "invalid_field: `message_id` must be a non-empty string, but is empty",
        ),
        (
            "{\"message_id\":\"m\",\"name\":5}",
            "invalid_field: `name` must be a string, but is a number",
        ),
        (
            "{\"message_id\":\"m\",\"name\":\"\",\"created_at\":\"2023-02-29 00:00:00\"}",
            "invalid_field: `created_at` must be a date of ISO 8601 such as 2023-07-15T12:34:56.789Z, but its day does not exist in that month",
        ),
        (
            "{\"a\":{},\"a\":1}",
            "duplicate_field: `a` occurs more than once in its object",
        ),
        (
            "{\"received_at\":1}",
            "reserved_field: `received_at` is set by the consumer and must not be in the message",
        ),
        (
            "{\"_id\":1}",
            "reserved_field: `_id` is set by the consumer; leave it out, or set it to the same text as `message_id`",
        ),
        (
            "{\"a\":{\"\\u0000\":1}}",
            "invalid_field_name: the name `a.\"\\0\"` contains a NUL, which BSON can't hold",
        ),
        (
            "{\"a\":[99999999999999999999]}",
            "unsupported_number: `a[0]` is an integer that doesn't fit in 64 bits",
        ),
        (
            "{\"a\":[1e309]}",
            "unsupported_number: `a[0]` is a number beyond the range of a double",
        ),
    ] {
        check_error(payload, error);
    }
    check_error(
        b"{\"a\":\"\xff\"}",
        "invalid_json: the message is not valid JSON: it isn't UTF-8 (from byte offset 6 on)",
    );
}

#[test]
fn refusals_never_quote_a_value() {
    let secret = "hunter2";
    for payload in [
        format!(r#""{secret}""#),
        format!(r#"["{secret}"]"#),
        format!(r#"{{"a":"{secret}"#),
        format!(r#"{{"a":{secret}}}"#),
        format!(r#"{{"a":"{secret}\q"}}"#),
        with_fields(&format!(r#""_id":"{secret}","#)),
        with_fields(&format!(r#""received_at":"{secret}","#)),
        with_metadata("{}").replace("2023-07-15T12:34:56Z", secret),
        with_metadata(&format!(r#""{secret}""#)),
    ] {
        let rejection = rejection_of(&payload);
        assert!(!format!("{rejection:?}").contains(secret), "{rejection:?}");
    }
    let number = rejection_of(with_value("98765432109876543210"));
    assert!(!format!("{number:?}").contains("98765"), "{number:?}");
}

#[test]
fn paths_are_bounded_and_printable() {
    let long = "n".repeat(1000);
    for (message, field) in [
        (
            with_metadata(&format!(r#"{{"{long}":1e999}}"#)),
            format!("metadata.{}…", "n".repeat(63)),
        ),
        (
            with_metadata(&format!(r#"{{"{}":1e999}}"#, "é".repeat(65))),
            format!("metadata.{}…", "é".repeat(63)),
        ),
        (
            with_metadata(&format!(r#"{{"{}":1e999}}"#, "é".repeat(64))),
            format!("metadata.{}", "é".repeat(64)),
        ),
        (
            with_metadata(r#"{"a\nb\u001b[0m":1e999}"#),
            r#"metadata."a\nb\u{1b}[0m""#.to_owned(),
        ),
        (
            with_metadata(r#"{"a.b":{"c d":{"`":{"\"":1e999}}}}"#),
            r#"metadata."a.b"."c d"."`"."\"""#.to_owned(),
        ),
        (
            with_metadata("{\"a\u{202e}\u{85}b\":1e999}"),
            r#"metadata."a\u{202e}\u{85}b""#.to_owned(),
        ),
    ] {
        check_refused(message, Reason::UnsupportedNumber, Some(&field));
    }
    let deep = format!(
        "{}1e999{}",
        format!(r#"{{"{long}":"#).repeat(50),
        "}".repeat(50)
    );
    let field = rejection_of(with_value(&deep)).field.unwrap();
    assert_eq!(field.chars().count(), 200);
}
