//! Properties of every message, and of arbitrary bytes.

use std::collections::HashSet;
use std::fmt::Write as _;

use bson::{Bson, Document};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{RECEIVED_AT, rejection_of, transcode, with_value};
use crate::core::rejection::Reason;

#[derive(Debug, Clone)]
enum Json {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Writes the value as JSON. `noise` decides where whitespace goes and which characters are escaped.
    fn write(&self, json: &mut String, noise: &mut impl Iterator<Item = u8>) {
        write_space(json, noise);
        match self {
            Self::Null => json.push_str("null"),
            Self::Boolean(value) => json.push_str(&value.to_string()),
            Self::Integer(value) => json.push_str(&value.to_string()),
            // `{:?}` writes the shortest text with this value, always with a point or an exponent.
            Self::Double(value) => write!(json, "{value:?}").unwrap(),
            Self::Text(text) => write_text(text, json, noise),
            Self::Array(items) => {
                json.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        json.push(',');
                    }
                    item.write(json, noise);
                }
                json.push(']');
            }
            Self::Object(fields) => {
                json.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        json.push(',');
                    }
                    write_space(json, noise);
                    write_text(name, json, noise);
                    write_space(json, noise);
                    json.push(':');
                    value.write(json, noise);
                }
                json.push('}');
            }
        }
        write_space(json, noise);
    }

    /// The BSON value that is expected for this JSON value.
    fn expected(&self) -> Bson {
        match self {
            Self::Null => Bson::Null,
            Self::Boolean(value) => Bson::Boolean(*value),
            Self::Integer(value) => match i32::try_from(*value) {
                Ok(value) => Bson::Int32(value),
                Err(_) => Bson::Int64(*value),
            },
            Self::Double(value) => Bson::Double(*value),
            Self::Text(text) => Bson::String(text.clone()),
            Self::Array(items) => Bson::Array(items.iter().map(Self::expected).collect()),
            Self::Object(fields) => Bson::Document(expected_document(fields)),
        }
    }
}

fn expected_document(fields: &[(String, Json)]) -> Document {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), value.expected()))
        .collect()
}

fn write_space(json: &mut String, noise: &mut impl Iterator<Item = u8>) {
    if let Some(byte @ 0..=3) = noise.next() {
        json.push([' ', '\n', '\r', '\t'][usize::from(byte)]);
    }
}

fn write_text(text: &str, json: &mut String, noise: &mut impl Iterator<Item = u8>) {
    json.push('"');
    for character in text.chars() {
        let must = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        if must || noise.next().is_some_and(|byte| byte < 20) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(json, "\\u{unit:04x}").unwrap();
            }
        } else {
            json.push(character);
        }
    }
    json.push('"');
}

/// Random bytes. `json_of` repeats them as often as needed.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..64)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        any::<String>().prop_map(|name| name.replace('\0', "")),
        Just("_id".to_owned()),
        Just("received_at".to_owned()),
    ]
}

fn unique(fields: Vec<(String, Json)>) -> Vec<(String, Json)> {
    let mut seen = HashSet::new();
    fields
        .into_iter()
        .filter(|(name, _)| seen.insert(name.clone()))
        .collect()
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Boolean),
        any::<i64>().prop_map(Json::Integer),
        any::<i32>().prop_map(|value| Json::Integer(value.into())),
        prop::num::f64::NORMAL.prop_map(Json::Double),
        prop::num::f64::SUBNORMAL.prop_map(Json::Double),
        prop::num::f64::ZERO.prop_map(Json::Double),
        any::<String>().prop_map(Json::Text),
    ];
    leaf.prop_recursive(5, 80, 12, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Json::Array),
            vec((name(), inner.clone()), 0..12).prop_map(|fields| Json::Object(unique(fields))),
            vec((name(), inner), 30..50).prop_map(|fields| Json::Object(unique(fields))),
        ]
    })
}

/// The `message_id` of a valid message, and the message's fields in any order.
fn message() -> impl Strategy<Value = (String, Vec<(String, Json)>)> {
    let id = any::<String>().prop_map(|id| id + "!");
    (
        id,
        any::<bool>(),
        any::<String>(),
        vec((name(), value()), 0..6),
        vec((name(), value()), 0..6),
    )
        .prop_flat_map(|(id, give_id, name, metadata, more)| {
            let mut fields = vec![
                ("message_id".to_owned(), Json::Text(id.clone())),
                ("name".to_owned(), Json::Text(name)),
                (
                    "created_at".to_owned(),
                    Json::Text("2023-07-15T12:34:56Z".to_owned()),
                ),
                ("metadata".to_owned(), Json::Object(unique(metadata))),
            ];
            if give_id {
                fields.push(("_id".to_owned(), Json::Text(id.clone())));
            }
            fields.extend(
                more.into_iter()
                    .filter(|(name, _)| name != "_id" && name != "received_at"),
            );
            (Just(id), Just(unique(fields)).prop_shuffle())
        })
}

fn json_of(fields: &[(String, Json)], noise: &[u8]) -> String {
    let mut json = String::new();
    Json::Object(fields.to_vec()).write(&mut json, &mut noise.iter().copied().cycle());
    json
}

/// Whether `serde_json::Value` accepts the payload. `None` if one of its limits prevents an answer.
fn is_json(payload: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(payload) {
        Ok(_) => Some(true),
        Err(error) => {
            let error = error.to_string();
            let limit = error.contains("number out of range") || error.contains("recursion limit");
            (!limit).then_some(false)
        }
    }
}

/// Checks that exactly those payloads are called invalid JSON that are.
fn check_is_json(payload: &[u8]) -> Result<(), TestCaseError> {
    let called_invalid = match transcode(payload) {
        Ok(_) => false,
        Err(rejection) => matches!(rejection.reason, Reason::InvalidJson | Reason::EmptyPayload),
    };
    if let Some(is_json) = is_json(payload) {
        prop_assert_eq!(called_invalid, !is_json);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_message_is_stored_byte_for_byte_as_expected((id, fields) in message(), noise in noise()) {
        let mut expected = Document::new();
        expected.insert("_id", id);
        expected.extend(expected_document(&fields));
        expected.insert("received_at", RECEIVED_AT);
        let json = json_of(&fields, &noise);
        prop_assert_eq!(transcode(&json).unwrap(), expected.to_vec().unwrap());
    }

    #[test]
    fn a_repeated_field_is_refused((_, fields) in message(), noise in noise(), from in any::<Index>(), to in any::<Index>()) {
        let mut fields = fields;
        let copy = from.get(&fields).clone();
        fields.insert(to.index(fields.len() + 1), copy);
        let rejection = rejection_of(json_of(&fields, &noise));
        prop_assert_eq!(rejection.reason, Reason::DuplicateField);
    }

    #[test]
    fn a_damaged_message_is_invalid_json_exactly_if_it_is_not_json((_, fields) in message(), noise in noise(), at in any::<Index>(), bytes in vec(any::<u8>(), 0..3), replaced in 0..3usize) {
        let mut payload = json_of(&fields, &noise).into_bytes();
        let at = at.index(payload.len());
        let end = (at + replaced).min(payload.len());
        payload.splice(at..end, bytes);
        check_is_json(&payload)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_number_is_stored_with_its_value_or_refused(literal in "-?(0|[1-9][0-9]{0,3}|[1-9][0-9]{15,22})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
        let expected = if literal.contains(['.', 'e', 'E']) || literal == "-0" {
            let value: f64 = literal.parse().unwrap();
            value.is_finite().then_some(Bson::Double(value))
        } else {
            literal.parse().ok().map(|value| Json::Integer(value).expected())
        };
        match expected {
            None => prop_assert_eq!(rejection_of(with_value(&literal)).reason, Reason::UnsupportedNumber),
            Some(expected) => {
                let bytes = transcode(with_value(&literal)).unwrap();
                let document = Document::from_reader(bytes.as_slice()).unwrap();
                let stored = document.get_document("metadata").unwrap();
                let mut wanted = Document::new();
                wanted.insert("x", expected);
                // Bytes are compared because −0.0 and 0.0 are equal as numbers.
                prop_assert_eq!(stored.to_vec().unwrap(), wanted.to_vec().unwrap());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_invalid_json_exactly_if_they_are_not_json(payload in vec(any::<u8>(), 0..40)) {
        check_is_json(&payload)?;
    }

    #[test]
    fn arbitrary_tokens_are_invalid_json_exactly_if_they_are_not_json(tokens in vec(prop::sample::select(&[
        "{", "}", "[", "]", ":", ",", "{\"a\":", "\"_id\":", "\"message_id\":", "\"m\"", "\"\"", "\"received_at\":1",
        "1", "-0", "1.5e3", "1e999", "99999999999999999999", "null", "true", "\"\\ud800\"", "\"\\u0000\"", " ", "x",
    ][..]), 0..12)) {
        check_is_json(tokens.concat().as_bytes())?;
    }
}
