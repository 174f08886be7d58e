//! The results of a run as a file. A run writes all that it observed; what is published is without the
//! observations, and says once what the rows' settings have in common.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::report::Row;

/// JSON that is no longer than this stands on one line.
const LINE: usize = 300;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// When the last row was measured.
    pub date: String,
    /// The numbers mean nothing: the counts were tiny.
    pub quick: bool,
    pub rounds: u32,
    /// What was measured on; see [`machine`](crate::machine).
    pub machine: Value,
    /// By system, what its settings in all rows have in common, by path. A run leaves this to each row.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
    pub rows: Vec<Row>,
    /// The rows that could not be measured, with the errors.
    pub failed: Vec<Value>,
}

impl Results {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let results = serde_json::from_slice(&text);
        Ok(results.map_err(|error| format!("{}: {error}", path.display()))?)
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, readable(&serde_json::to_value(self)?))?)
    }

    /// The results as they are published. Published results stay as they are.
    pub fn published(mut self) -> Self {
        for row in &mut self.rows {
            row.observations = Value::Null;
        }
        if self.settings.is_null() {
            let rows = self.rows.iter_mut().map(|row| &mut row.settings);
            self.settings = split_common(&mut rows.collect::<Vec<_>>());
        }
        self
    }
}

/// By system, the settings that are the same in all rows. The rows keep those that differ.
fn split_common(rows: &mut [&mut Value]) -> Value {
    let mut systems: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    for row in rows.iter() {
        for (system, settings) in row.as_object().into_iter().flatten() {
            if settings.is_object() {
                let flat = systems.entry(system.clone()).or_default();
                flat.push(flattened(settings));
            }
        }
    }
    // What only one row tells of stays there.
    systems.retain(|_, rows| rows.len() > 1);
    let common: BTreeMap<&String, Map<String, Value>> = systems
        .iter()
        .map(|(system, rows)| {
            let in_all = |path: &String, value: &Value| {
                rows.iter()
                    .all(|settings| settings.get(path) == Some(value))
            };
            let entries = rows[0].iter().filter(|(path, value)| in_all(path, value));
            let entries = entries.map(|(path, value)| (path.clone(), value.clone()));
            (system, entries.collect())
        })
        .collect();
    for row in rows {
        for (system, common) in &common {
            if let Some(settings) = row.get_mut(system.as_str()) {
                let mut own = flattened(settings);
                own.retain(|path, _| !common.contains_key(path));
                *settings = Value::Object(own);
            }
        }
    }
    json!(common)
}

/// Nested objects as one, by path: `{"a": {"b": 1}}` as `{"a.b": 1}`.
fn flattened(value: &Value) -> Map<String, Value> {
    fn add(prefix: &str, value: &Value, flat: &mut Map<String, Value>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    add(&format!("{prefix}{dot}{name}"), value, flat);
                }
            }
            _ => {
                flat.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut flat = Map::new();
    add("", value, &mut flat);
    flat
}

/// JSON of which a person can see the differences between two versions: what is short stands on one line.
fn readable(value: &Value) -> String {
    fn add(value: &Value, indent: usize, text: &mut String) {
        let compact = value.to_string();
        let (open, items, close) = match value {
            Value::Object(fields) if compact.len() > LINE => {
                let items = fields.iter().map(|(name, value)| (Some(name), value));
                ('{', items.collect::<Vec<_>>(), '}')
            }
            Value::Array(values) if compact.len() > LINE => {
                let items = values.iter().map(|value| (None, value));
                ('[', items.collect(), ']')
            }
            _ => return text.push_str(&compact),
        };
        let line = |text: &mut String, indent: usize| {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
        };
        text.push(open);
        for (index, (name, value)) in items.into_iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            line(text, indent + 1);
            if let Some(name) = name {
                text.push_str(&Value::String(name.clone()).to_string());
                text.push_str(": ");
            }
            add(value, indent + 1, text);
        }
        line(text, indent);
        text.push(close);
    }
    let mut text = String::new();
    add(value, 0, &mut text);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_settings_are_said_once() {
        let settings =
            |batch| json!({ "worker": { "consumer": { "batch_size": batch, "writers": 8 } } });
        let (mut first, mut second) = (settings(100), settings(1000));
        let mut third = json!({ "note": "lone", "only here": { "a": 1 } });
        let common = split_common(&mut [&mut first, &mut second, &mut third]);
        assert_eq!(common, json!({ "worker": { "consumer.writers": 8 } }));
        assert_eq!(first, json!({ "worker": { "consumer.batch_size": 100 } }));
        assert_eq!(second, json!({ "worker": { "consumer.batch_size": 1000 } }));
        assert_eq!(third, json!({ "note": "lone", "only here": { "a": 1 } }));
    }

    #[test]
    fn readable_json_is_the_same_json() {
        let numbers: Vec<u32> = (0..100).collect();
        let value = json!({ "short": [1, 2], "long": numbers, "text": "a\"b\n", "none": null });
        let text = readable(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\n \"short\": [1,2],\n"), "{text}");
    }
}
