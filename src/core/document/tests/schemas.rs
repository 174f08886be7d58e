//! Messages under a JSON Schema.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::document::{IdSource, JsonSchema, MessageSchema};

#[allow(
    clippy::needless_pass_by_value,
    reason = "most schemas are made for the call"
)]
fn rules(schema: Value) -> MessageRules {
    let schema = JsonSchema::compile(&schema.to_string()).unwrap();
    let id = IdSource::Field(vec!["id".to_owned()]);
    MessageRules::new(MessageSchema::JsonSchema(Box::new(schema)), id)
}

fn judge(schema: Value, payload: &str) -> Result<Vec<u8>, Rejection> {
    transcode_under(&rules(schema), &parts_of(payload.as_bytes()))
}

/// The fault of a schema.
#[allow(
    clippy::needless_pass_by_value,
    reason = "most schemas are made for the call"
)]
fn fault_of(schema: Value) -> String {
    JsonSchema::compile(&schema.to_string()).unwrap_err()
}

#[test]
fn a_violation_names_the_path_and_the_keyword_and_quotes_no_value() {
    let schema = json!({
        "type": "object",
        "required": ["id", "items"],
        "properties": {
            "id": {},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": true},
            "kind": {"enum": ["a", "b"]},
            "text": {"type": "string", "pattern": "^s", "maxLength": 9},
        },
        "additionalProperties": false,
        "$defs": {"item": {
            "type": "object", "required": ["price"], "properties": {"price": {"minimum": 0}},
        }},
    });
    assert!(judge(schema.clone(), r#"{"id":1,"items":[{"price":0}]}"#).is_ok());
    for (payload, field, keyword) in [
        (
            r#"{"id":1,"items":[{"price":1},{"price":-99}]}"#,
            "items[1].price",
            "minimum",
        ),
        (
            r#"{"id":1,"items":[{"secret":99}]}"#,
            "items[0].price",
            "required",
        ),
        (
            r#"{"id":1,"items":[{"price":1},{"price":1.0}]}"#,
            "items",
            "uniqueItems",
        ),
        (r#"{"id":1,"items":"secret"}"#, "items", "type"),
        (r#"{"id":1}"#, "items", "required"),
        (r#"{"id":1,"items":[],"kind":"secret"}"#, "kind", "enum"),
        (r#"{"id":1,"items":[],"text":"-secret"}"#, "text", "pattern"),
        (
            r#"{"id":1,"items":[],"text":"secret-secret"}"#,
            "text",
            "maxLength",
        ),
        (
            r#"{"id":1,"items":[],"more":"secret"}"#,
            "more",
            "additionalProperties",
        ),
    ] {
        let rejection = judge(schema.clone(), payload).unwrap_err();
        assert_eq!(rejection.reason, Reason::SchemaViolation);
        assert_eq!(rejection.field.as_deref(), Some(field), "{rejection}");
        let error = &rejection.error;
        assert!(
            error.contains(&format!("`{field}` breaks `{keyword}`")),
            "{error}"
        );
        assert!(
            !error.contains("secret") && !error.contains("99"),
            "{error}"
        );
    }
    let whole = judge(json!({"maxProperties": 1}), r#"{"id":1,"b":2}"#).unwrap_err();
    assert_eq!(whole.field, None);
    assert!(
        whole.error.contains("the message breaks `maxProperties`"),
        "{whole}"
    );
}

#[test]
fn the_fields_of_the_worker_are_no_part_of_the_message() {
    let closed =
        json!({"properties": {"id": {}}, "additionalProperties": false, "maxProperties": 1});
    assert!(judge(closed.clone(), r#"{"id":1}"#).is_ok());
    // An `_id` of the message itself is one of its fields.
    assert!(judge(closed, r#"{"id":1,"_id":1}"#).is_err());
    let with_id = json!({"required": ["_id"], "maxProperties": 2});
    assert!(judge(with_id.clone(), r#"{"id":1,"_id":1}"#).is_ok());
    assert!(judge(with_id, r#"{"id":1,"x":1}"#).is_err());
}

#[test]
fn a_schema_that_is_not_of_the_draft_or_not_whole_is_refused_with_its_place() {
    for (schema, parts) in [
        (json!({"type": "objekt"}), &["/type"][..]),
        (
            json!({"properties": {"a": {"minimum": "1"}}}),
            &["/properties/a/minimum"],
        ),
        (
            json!({"$ref": "https://example.org/x.json"}),
            &["https://example.org/x.json", "$defs"],
        ),
        (json!({"$ref": "other.json"}), &["other.json", "$defs"]),
        (json!({"$ref": "#/$defs/none"}), &["$ref"]),
        (
            json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
            &["file:///etc/passwd"],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            &["2020-12"],
        ),
        (json!({"pattern": "(?=a)b"}), &["/pattern"]),
        (json!({"pattern": "("}), &["/pattern"]),
        (json!([]), &["must be an object"]),
        (json!(7), &["must be an object"]),
    ] {
        let fault = fault_of(schema);
        for part in parts {
            assert!(fault.contains(part), "{fault}");
        }
    }
    assert!(
        JsonSchema::compile("{")
            .unwrap_err()
            .contains("not valid JSON")
    );
    for schema in [
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema"}),
        json!({"$id": "https://example.org/own", "$ref": "#/$defs/a", "$defs": {"a": {}}}),
        json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
        json!(true),
    ] {
        JsonSchema::compile(&schema.to_string()).unwrap();
    }
}

#[test]
fn a_format_is_an_annotation() {
    let schema = json!({"properties": {"at": {"format": "date-time"}, "n": {"format": "own"}}});
    assert!(judge(schema, r#"{"id":1,"at":"no time","n":1}"#).is_ok());
}

#[test]
fn numbers_are_compared_by_their_values() {
    let unique = json!({"properties": {"x": {"uniqueItems": true}}});
    for (items, expected) in [
        (
            "1152921504606846976,1152921504606846977,1152921504606846978",
            true,
        ),
        ("1152921504606846976,1152921504606846976.0", false),
        ("9007199254740993,9007199254740992,9007199254740993", false),
        ("0,-0.0", false),
        ("0.5,5e-1", false),
        ("1e300,1e301,\"1e300\"", true),
        (r#"{"a":1,"b":2},{"b":2.0,"a":1}"#, false),
        (r#"{"a":1,"b":2},{"b":1,"a":2}"#, true),
        ("[1,2],[2,1],[[1],2]", true),
    ] {
        let payload = format!(r#"{{"id":1,"x":[{items}]}}"#);
        assert_eq!(judge(unique.clone(), &payload).is_ok(), expected, "{items}");
    }
    // Exact beyond what a double tells apart.
    let bounds = json!({"properties": {"x": {"maximum": 9_007_199_254_740_992_i64}}});
    assert!(judge(bounds.clone(), r#"{"id":1,"x":9007199254740992}"#).is_ok());
    assert!(judge(bounds, r#"{"id":1,"x":9007199254740993}"#).is_err());
    let constant = json!({"properties": {"x": {"const": 9_007_199_254_740_993_i64}}});
    assert!(judge(constant.clone(), r#"{"id":1,"x":9007199254740993}"#).is_ok());
    assert!(judge(constant, r#"{"id":1,"x":9007199254740992}"#).is_err());
}

/// Each would take minutes, or all of the stack, if nothing kept it within bounds.
#[test]
fn no_schema_makes_a_message_take_long() {
    let began = Instant::now();
    let text = "a".repeat(100_000);
    let patterns = json!({"properties": {"t": {"pattern": "^(a+)+$"}, "u": {"pattern": "(a*)*b"}}});
    let payload = format!(r#"{{"id":1,"t":"{text}!","u":"{text}"}}"#);
    assert!(judge(patterns, &payload).is_err());

    // References in a circle, which read no value on their way.
    for circle in [
        json!({"$ref": "#"}),
        json!({"properties": {"id": {"$ref": "#/$defs/a"}}, "$defs": {
            "a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
        }}),
        json!({"properties": {"x": {"additionalProperties": {"$ref": "#/$defs/n"}}}, "$defs": {"n": {"allOf": [{"$ref": "#/$defs/n"}]}}}),
    ] {
        assert!(judge(circle, r#"{"id":1,"x":{"y":null}}"#).is_ok());
    }

    // Two ways at each of the levels.
    let nested = json!({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["b"]},
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["c"]},
        {"type": "string"},
    ]}}});
    for leaf in ["1", "\"x\""] {
        let deep = format!("{}{leaf}{}", r#"{"a":"#.repeat(90), "}".repeat(90));
        let payload = format!(r#"{{"id":1,"a":{deep}}}"#);
        assert!(judge(nested.clone(), &payload).is_err());
    }

    let unique = json!({"properties": {"x": {"uniqueItems": true}}});
    let items: Vec<String> = (0..200_000).map(|n| n.to_string()).collect();
    let payload = format!(r#"{{"id":1,"x":[{}]}}"#, items.join(","));
    assert!(judge(unique, &payload).is_ok());
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}

#[test]
fn a_large_message_that_breaks_its_schema_gets_the_verdict_alone() {
    let payload = format!(r#"{{"id":1,"x":"{}"}}"#, "x".repeat(1 << 20));
    let rejection = judge(json!({"properties": {"x": {"type": "integer"}}}), &payload).unwrap_err();
    assert_eq!(
        (rejection.reason, rejection.field),
        (Reason::SchemaViolation, None)
    );
}

/// JSON values with few different parts, so that schemas have something to find.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        prop::sample::select(vec![0.0, -0.0, 0.5, 1.0, 2.0, -1.5, 1e300]).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ab\u{e4}\u{1f600}]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_schema() -> impl Strategy<Value = Value> {
    let types = vec![
        "null", "boolean", "integer", "number", "string", "array", "object",
    ];
    let leaf = prop_oneof![
        prop::sample::select(types).prop_map(|name| json!({"type": name})),
        any_json().prop_map(|value| json!({"const": value})),
        prop::collection::vec(any_json(), 1..3).prop_map(|values| json!({"enum": values})),
        (-2_i64..3).prop_map(|n| json!({"minimum": n})),
        (-2_i64..3).prop_map(|n| json!({"exclusiveMaximum": n})),
        Just(json!({"multipleOf": 0.5})),
        Just(json!({"multipleOf": 2})),
        (0_u64..3).prop_map(|n| json!({"minLength": n, "maxItems": n, "minProperties": n})),
        Just(json!({"uniqueItems": true})),
        Just(json!({"pattern": "^a"})),
        Just(json!({"required": ["a", "b"]})),
        Just(json!({"propertyNames": {"pattern": "[ab]"}})),
        Just(json!({"dependentRequired": {"a": ["b"]}})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(
                |(a, b)| json!({"properties": {"a": a, "b": b}, "additionalProperties": false})
            ),
            inner
                .clone()
                .prop_map(|a| json!({"properties": {"a": a}, "unevaluatedProperties": false})),
            inner.clone().prop_map(|a| json!({"items": a})),
            inner.clone().prop_map(|a| json!({"contains": a})),
            inner.clone().prop_map(|a| json!({"not": a})),
            inner
                .clone()
                .prop_map(|a| json!({"additionalProperties": a})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({"oneOf": [a, b]})),
            (inner.clone(), inner).prop_map(|(a, b)| json!({"if": a, "then": b})),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_judged_as_its_message_would_be(schema in any_schema(), value in any_json()) {
        let reference = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .build(&schema)
            .unwrap();
        let expected = reference.is_valid(&value);
        let payload = json!({"id": 1, "value": value}).to_string();
        let judged = judge(json!({"properties": {"value": schema}}), &payload);
        prop_assert_eq!(judged.is_ok(), expected, "{:?}", judged);
    }
}
