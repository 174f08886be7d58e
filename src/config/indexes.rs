//! The indexes that the worker creates: how they stand in the file, and which ones are refused.

use std::collections::BTreeSet;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::errors::{ConfigErrors, quoted};
use super::json::type_name;

pub(super) const PATH: &str = "mongodb.indexes";

/// The name under which an index has its fields, where it has options, too.
const KEY: &str = "key";
const NAME: &str = "name";
pub(super) const EXPIRE_AFTER: &str = "expireAfterSeconds";

/// The types of an index on a field that aren't a direction.
const TYPES: [&str; 4] = ["text", "hashed", "2d", "2dsphere"];

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The fields in their order, each with its direction or type.
    pub keys: Map<String, Value>,
    /// The options, as MongoDB names them.
    pub options: Map<String, Value>,
}

pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "object", "minProperties": 1},
        "errorMessage": "expected a list of indexes, such as `[{\"created_at\": 1}]`",
    })
}

impl Index {
    /// Its own name, or the one that MongoDB's drivers give it: `created_at_1`.
    pub fn name(&self) -> String {
        if let Some(Value::String(name)) = self.options.get(NAME) {
            return name.clone();
        }
        let parts = self.keys.iter().map(|(field, direction)| match direction {
            Value::String(kind) => format!("{field}_{kind}"),
            direction => format!("{field}_{direction}"),
        });
        parts.collect::<Vec<_>>().join("_")
    }

    /// The fields, for people: "`a` and `b`".
    pub fn fields(&self) -> String {
        let fields: Vec<String> = self.keys.keys().map(|field| format!("`{field}`")).collect();
        fields.join(" and ")
    }

    /// Whether it says more than how to find documents: its name doesn't count.
    pub fn has_options(&self) -> bool {
        self.options.keys().any(|name| name != NAME)
    }

    /// Whether it forbids documents. The server takes a number for the switch, too.
    pub fn is_unique(&self) -> bool {
        match self.options.get("unique") {
            Some(Value::Bool(is_on)) => *is_on,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(_) | None => false,
        }
    }

    fn fault(&self) -> Option<String> {
        if self.keys.is_empty() {
            return Some(
                "an index without a field; name one, such as `{\"created_at\": 1}`".to_owned(),
            );
        }
        for (field, direction) in &self.keys {
            let is_known = match direction {
                Value::Number(number) => matches!(number.as_i64(), Some(1 | -1)),
                Value::String(kind) => TYPES.contains(&kind.as_str()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
            };
            if field.is_empty() || field.contains('\0') {
                return Some("the name of a field is empty or has a NUL in it".to_owned());
            }
            if !is_known {
                let found = match direction {
                    Value::Number(number) => format!("`{number}`"),
                    Value::String(text) => quoted(text),
                    other => type_name(other).to_owned(),
                };
                return Some(format!(
                    "{} is {found}, expected 1, -1, `{}`; an index with options has its fields under `key`",
                    quoted(field),
                    TYPES.join("`, `")
                ));
            }
        }
        match self.options.get(NAME) {
            None => None,
            Some(Value::String(name)) if !name.is_empty() => None,
            Some(_) => Some("its `name` must be a text that isn't empty".to_owned()),
        }
    }
}

/// Reports each index that MongoDB would refuse, or that can't be told from another one.
pub(super) fn judge(indexes: &[Index], errors: &mut ConfigErrors) {
    let mut names = BTreeSet::new();
    for (number, index) in indexes.iter().enumerate() {
        let place = format!("`{PATH}` `{number}`");
        if let Some(fault) = index.fault() {
            errors.add(place, fault);
        } else if !names.insert(index.name()) {
            let fault = format!("the second index with the name {}", quoted(&index.name()));
            errors.add(place, fault);
        }
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Map::deserialize(deserializer)?;
        // The direction of a field of the name `key` is no object.
        match entries.get(KEY) {
            Some(Value::Object(_)) => {}
            Some(_) | None => {
                return Ok(Self {
                    keys: entries,
                    options: Map::new(),
                });
            }
        }
        let Some(Value::Object(keys)) = entries.shift_remove(KEY) else {
            return Err(serde::de::Error::custom("`key` is an object"));
        };
        Ok(Self {
            keys,
            options: entries,
        })
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.options.is_empty() {
            return self.keys.serialize(serializer);
        }
        let mut entries = Map::new();
        entries.insert(KEY.to_owned(), Value::Object(self.keys.clone()));
        entries.extend(self.options.clone());
        entries.serialize(serializer)
    }
}
