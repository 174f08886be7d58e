//! The reasons for a refusal, and which fault is named if a message has several.

use super::super::{MessageParts, MessageRules, append_document};
use super::{check_refused, received_at, transcode, with_fields, with_metadata, with_value};
use crate::core::rejection::Reason::{self, *};

#[test]
fn an_absent_value_and_an_empty_value_have_different_errors() {
    let mut out = vec![7];
    let mut refusal = |value| {
        let (parts, rules) = (MessageParts::of_value(value), MessageRules::default());
        append_document(&parts, &rules, &received_at(), &mut out).unwrap_err()
    };
    let tombstone = refusal(None);
    let empty = refusal(Some(b""));
    assert_eq!(
        (tombstone.reason, empty.reason),
        (EmptyPayload, EmptyPayload)
    );
    assert_ne!(tombstone.error, empty.error);
    assert_eq!(out, [7]);
}

#[test]
fn a_payload_that_is_not_one_json_text_is_invalid_json() {
    for payload in [
        " ",
        "\n\t",
        "nul",
        "hello",
        "{",
        "}",
        "{]",
        "[1,2",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "\"abc",
        "\"\u{1}\"",
        "\"\t\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        "// x\n{}",
        "\u{c}{}",
        "\u{a0}{}",
        "{},",
        "{} {}",
        "{}x",
        "{}\0",
        "\0",
    ] {
        check_refused(payload, InvalidJson, None);
    }
    let good = with_value("1");
    transcode(&good).unwrap();
    for trailing in [",", "x", "{}", "\0", "\u{feff}", "}"] {
        check_refused(format!("{good}{trailing}"), InvalidJson, None);
    }
    for end in 1..good.len() {
        check_refused(&good[..end], InvalidJson, None);
    }
}

#[test]
fn lone_surrogates_are_invalid_json_even_beside_another_fault() {
    for text in [
        r#""\ud800""#,
        r#""\uDBFF""#,
        r#""\udc00""#,
        r#""\uDFFF""#,
        r#""\ud800\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud800\n""#,
        r#""\ud800x""#,
        r#""\ud83d\ude00\ude00""#,
        r#""\ud800\\udc00""#,
        r#"{"\ud800":1}"#,
    ] {
        check_refused(with_value(text), InvalidJson, None);
        check_refused(with_fields(&format!(r#""x":{text},"#)), InvalidJson, None);
        check_refused(with_fields(&format!(r#""_id":{text},"#)), InvalidJson, None);
        check_refused(
            with_fields(&format!(r#""received_at":1,"x":{text},"#)),
            InvalidJson,
            None,
        );
    }
    let pair = r#""received_at":"\ud83d\ude00 \\ud800 \\\\ud800 \ud83d\uDE00","#;
    check_refused(with_fields(pair), ReservedField, Some("received_at"));
}

#[test]
fn bad_utf8_is_invalid_json() {
    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xff\xfe{\0}\0",
    ] {
        check_refused(bytes, InvalidJson, None);
        let mut message = with_fields("\"received_at\":\"").into_bytes();
        message.extend_from_slice(bytes);
        check_refused(&message, InvalidJson, None);
    }
}

#[test]
fn json_that_is_not_an_object_is_refused_as_not_an_object() {
    for payload in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e999",
        "123456789012345678901234567890",
        "\"\"",
        "\"{}\"",
        "[]",
        " [{}] ",
        "[1e999]",
        &format!("{}{}", "[".repeat(1000), "]".repeat(1000)),
    ] {
        check_refused(payload, NotAnObject, None);
    }
}

#[test]
fn required_fields_are_checked_in_their_order() {
    let fields = [
        ("message_id", r#""message_id":"m""#),
        ("name", r#""name":"n""#),
        ("created_at", r#""created_at":"2023-07-15T12:34:56Z""#),
        ("metadata", r#""metadata":{}"#),
    ];
    for absent in 0..fields.len() {
        let (first, _) = fields[absent];
        // First only this field is missing, then this one and all after it.
        for kept in [
            fields
                .iter()
                .filter(|(name, _)| *name != first)
                .collect::<Vec<_>>(),
            fields[..absent].iter().collect(),
        ] {
            let kept: Vec<_> = kept.into_iter().rev().map(|(_, json)| *json).collect();
            check_refused(format!("{{{}}}", kept.join(",")), MissingField, Some(first));
        }
        let wrong: Vec<_> = fields
            .iter()
            .enumerate()
            .rev()
            .map(|(at, (name, json))| {
                if at < absent {
                    (*json).to_owned()
                } else {
                    format!(r#""{name}":[1]"#)
                }
            })
            .collect();
        check_refused(
            format!("{{{}}}", wrong.join(",")),
            InvalidField,
            Some(first),
        );
    }
    check_refused("{}", MissingField, Some("message_id"));
    check_refused(r#"{"name":1}"#, MissingField, Some("message_id"));
}

#[test]
fn required_fields_must_have_their_types() {
    let good = with_metadata("{}");
    let values = ["null", "true", "false", "0", "-1.5", r#""x""#, "[]", "{}"];
    for (field, json, allowed) in [
        ("message_id", r#""m""#, r#""x""#),
        ("name", r#""n""#, r#""x""#),
        ("created_at", r#""2023-07-15T12:34:56Z""#, ""),
        ("metadata", "{}", "{}"),
    ] {
        for value in values {
            let message = good.replace(
                &format!("\"{field}\":{json}"),
                &format!("\"{field}\":{value}"),
            );
            if value == allowed {
                transcode(message).unwrap();
            } else {
                check_refused(message, InvalidField, Some(field));
            }
        }
    }
    check_refused(
        good.replace(r#":"m""#, r#":"""#),
        InvalidField,
        Some("message_id"),
    );
    transcode(good.replace(r#":"n""#, r#":"""#)).unwrap();
}

#[test]
fn reserved_fields_are_refused() {
    for value in [
        "null",
        "1",
        "1e999",
        r#""2023-07-15T12:34:56Z""#,
        "{}",
        "[1]",
    ] {
        let fields = format!(r#""received_at":{value},"#);
        check_refused(with_fields(&fields), ReservedField, Some("received_at"));
    }
    for id in [
        "null",
        "1",
        "1e999",
        "123456789012345678901234567890",
        "true",
        r#""""#,
        r#""M""#,
        r#""m ""#,
        r#""mm""#,
        r#"{"m":1}"#,
        r#"["m"]"#,
        "[[]]",
    ] {
        check_refused(
            with_fields(&format!(r#""_id":{id},"#)),
            ReservedField,
            Some("_id"),
        );
        check_refused(
            with_metadata(&format!(r#"{{}},"_id":{id}"#)),
            ReservedField,
            Some("_id"),
        );
    }
    check_refused(r#"{"message_id":"","_id":"x"}"#, ReservedField, Some("_id"));
    check_refused(r#"{"_id":"x","message_id":""}"#, ReservedField, Some("_id"));
    check_refused(
        r#"{"_id":"","message_id":""}"#,
        InvalidField,
        Some("message_id"),
    );
    check_refused(
        r#"{"_id":"m","message_id":1}"#,
        InvalidField,
        Some("message_id"),
    );
    check_refused(
        r#"{"message_id":1,"_id":"m"}"#,
        InvalidField,
        Some("message_id"),
    );
    check_refused(r#"{"_id":"m"}"#, MissingField, Some("message_id"));
}

#[test]
fn duplicate_names_are_refused_at_any_depth_after_decoding() {
    for (message, field) in [
        (with_fields(r#""a":1,"a":1,"#), "a"),
        (with_fields(r#""name":"n","#), "name"),
        (with_fields(r#""nam\u0065":"n","#), "name"),
        (with_fields(r#""_id":"m","_id":"m","#), "_id"),
        (with_metadata(r#"{"a":1,"\u0061":2}"#), "metadata.a"),
        (with_metadata(r#"{"\u0061":1,"a":2}"#), "metadata.a"),
        (with_metadata(r#"{"":1,"":2}"#), "metadata.\"\""),
        (
            with_value(r#"[0,[{"y":{"é":1,"b":{},"\u00e9":1}}]]"#),
            "metadata.x[1][0].y.é",
        ),
    ] {
        check_refused(message, DuplicateField, Some(field));
    }
    transcode(with_metadata(
        r#"{"a":1,"A":2,"a ":3,"aa":{"a":{"a":1}},"á":4,"a\u0301":5}"#,
    ))
    .unwrap();
}

#[test]
fn a_nul_in_a_name_is_refused() {
    for (metadata, field) in [
        (r#"{"\u0000":1}"#, r#"metadata."\0""#),
        (r#"{"a\u0000b":1}"#, r#"metadata."a\0b""#),
        (r#"{"x":[{"\u0000a":1}]}"#, r#"metadata.x[0]."\0a""#),
    ] {
        check_refused(with_metadata(metadata), InvalidFieldName, Some(field));
    }
    check_refused(
        with_fields(r#""name\u0000":1,"#),
        InvalidFieldName,
        Some(r#""name\0""#),
    );
}

#[test]
fn the_first_fault_in_the_payload_is_reported() {
    let faults: [(&str, Reason, &str); 6] = [
        (r#""received_at":1"#, ReservedField, "received_at"),
        (r#""a":{"b":1,"b":2}"#, DuplicateField, "a.b"),
        (r#""c\u0000":1"#, InvalidFieldName, r#""c\0""#),
        (r#""d":18446744073709551616"#, UnsupportedNumber, "d"),
        (r#""e":1e999"#, UnsupportedNumber, "e"),
        (r#""_id":1"#, ReservedField, "_id"),
    ];
    for (first, reason, field) in faults {
        for (second, _, _) in faults {
            if first != second {
                check_refused(
                    format!("{{\"name\":1,{first},{second}}}"),
                    reason,
                    Some(field),
                );
                check_refused(format!("{{\"name\":1,{first},{second}"), InvalidJson, None);
                check_refused(
                    format!("{{\"name\":1,{first},{second}}}]"),
                    InvalidJson,
                    None,
                );
            }
        }
    }
}
