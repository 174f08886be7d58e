//! What stands where a configured index belongs: compares the configuration with the server's descriptions.

use bson::{Bson, Document};
use serde_json::Value;

use crate::config::Index;

/// What stands where a configured index belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    Present,
    Missing,
    /// The same fields have an index of another name.
    OfAnotherName,
    /// The name belongs to an index on other fields.
    NameTaken,
    /// The index of its name and its fields has other options.
    OtherOptions,
}

impl IndexState {
    pub(super) fn among(existing: &[Document], index: &Index) -> Self {
        let name = index.name();
        let mut state = Self::Missing;
        for existing in existing {
            let has_our_name = existing.get_str("name").is_ok_and(|found| found == name);
            let has_our_fields = has_fields(existing, index);
            state = match (has_our_name, has_our_fields) {
                (true, true) if has_options(existing, index) => return Self::Present,
                (true, true) => return Self::OtherOptions,
                (true, false) => Self::NameTaken,
                (false, true) if state == Self::Missing => Self::OfAnotherName,
                (false, _) => state,
            };
        }
        state
    }
}

/// Whether an index is on these fields, in these directions. The server lists a text index by other fields.
fn has_fields(existing: &Document, index: &Index) -> bool {
    let Ok(keys) = existing.get_document("key") else {
        return false;
    };
    let is_text = index.keys.values().any(|kind| kind == "text");
    if is_text {
        return keys.contains_key("_fts");
    }
    let given = bson_of_object(&index.keys);
    keys.len() == given.len()
        && keys
            .iter()
            .zip(&given)
            .all(|((name, found), (given_name, given))| name == given_name && covers(found, given))
}

/// Options that are on or off.
const SWITCHES: [&str; 3] = ["unique", "sparse", "hidden"];

/// Whether a switch is on. The server takes a number for it, too, and leaves out what is off.
fn is_on(switch: Option<&Bson>) -> bool {
    match switch {
        Some(Bson::Boolean(is_on)) => *is_on,
        Some(other) => number(other).is_some_and(|number| number != 0.0),
        None => false,
    }
}

/// Whether an index has the configured options. Where none are configured, any will do. `background` means nothing to the
/// server any more.
fn has_options(existing: &Document, index: &Index) -> bool {
    let given = bson_of_object(&index.options);
    given
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "name" | "background"))
        .all(|(name, option)| match existing.get(name) {
            found if SWITCHES.contains(&name.as_str()) => is_on(found) == is_on(Some(option)),
            Some(found) => covers(found, option),
            None => false,
        })
}

/// Whether the server's value is the configured one. It fills in what a document leaves out, and may store a number as
/// another type.
fn covers(found: &Bson, given: &Bson) -> bool {
    match (found, given) {
        (Bson::Document(found), Bson::Document(given)) => given
            .iter()
            .all(|(name, given)| found.get(name).is_some_and(|found| covers(found, given))),
        (Bson::Array(found), Bson::Array(given)) => {
            found.len() == given.len()
                && found
                    .iter()
                    .zip(given)
                    .all(|(found, given)| covers(found, given))
        }
        _ => match (number(found), number(given)) {
            (Some(found), Some(given)) => found.total_cmp(&given).is_eq(),
            _ => found == given,
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Double(number) => Some(*number),
        Bson::Int32(number) => Some(f64::from(*number)),
        // Exact below 2⁵³, which no option of an index exceeds.
        Bson::Int64(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// An object of the configuration.
pub(super) fn bson_of_object(object: &serde_json::Map<String, Value>) -> Document {
    object
        .iter()
        .map(|(name, value)| (name.clone(), bson_of(value)))
        .collect()
}

/// A value of the configuration. Whole numbers have the smallest type, as in the shell.
fn bson_of(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(bson_of).collect()),
        Value::Object(object) => Bson::Document(bson_of_object(object)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap_or(f64::INFINITY)),
        },
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use serde_json::json;

    use super::*;

    fn index(value: Value) -> Index {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_index_is_present_whose_name_fields_and_options_fit() {
        let plain = doc! { "v": 2, "key": { "created_at": 1 }, "name": "created_at_1" };
        let unique = doc! { "v": 2, "key": { "a": 1 }, "name": "a_1", "unique": true };
        let ttl = doc! {
            "v": 2, "key": { "t": 1 }, "name": "t_1", "expireAfterSeconds": 60_i64,
            "partialFilterExpression": { "x": { "$gt": 1.0 } },
            "collation": { "locale": "de", "strength": 2, "caseLevel": false },
        };
        let moved = doc! { "v": 2, "key": { "b": 1 }, "name": "mine" };
        let taken = doc! { "v": 2, "key": { "x": 1 }, "name": "c_1" };
        let text = doc! { "v": 2, "key": { "_fts": "text", "_ftsx": 1 }, "name": "d_text" };
        let existing = [plain, unique, ttl, moved, taken, text];
        for (given, expected) in [
            (
                json!({"key": {"a": 1}, "unique": 1, "sparse": 0, "background": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"a": 1}, "unique": 0}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"a": 1}, "expireAfterSeconds": 0}),
                IndexState::OtherOptions,
            ),
            (json!({"created_at": 1}), IndexState::Present),
            (json!({"a": 1}), IndexState::Present),
            (
                json!({"key": {"a": 1}, "unique": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"a": 1}, "unique": false}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"a": 1}, "sparse": false, "unique": true}),
                IndexState::Present,
            ),
            (
                json!({"key": {"created_at": 1}, "unique": true}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"t": 1}, "expireAfterSeconds": 60}),
                IndexState::Present,
            ),
            (
                json!({"key": {"t": 1}, "expireAfterSeconds": 61}),
                IndexState::OtherOptions,
            ),
            (
                json!({"key": {"t": 1}, "partialFilterExpression": {"x": {"$gt": 1}}, "collation": {"locale": "de"}}),
                IndexState::Present,
            ),
            (json!({"b": 1}), IndexState::OfAnotherName),
            (json!({"c": 1}), IndexState::NameTaken),
            (json!({"d": "text"}), IndexState::Present),
            (json!({"e": 1}), IndexState::Missing),
            (json!({"b": -1}), IndexState::Missing),
            (json!({"b": "hashed"}), IndexState::Missing),
            (
                json!({"key": {"x": -1}, "name": "c_1"}),
                IndexState::NameTaken,
            ),
            (json!({"a": 1, "b": -1}), IndexState::Missing),
        ] {
            let index = index(given);
            assert_eq!(IndexState::among(&existing, &index), expected, "{index:?}");
        }
    }
}
