//! The results of a run as a file. A run writes every observation. Published results are without the
//! observations, and have settings that are the same in all rows only once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::report::Row;

/// A value whose JSON is not longer than this is on one line.
const LINE: usize = 300;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// When the last row was measured.
    pub date: String,
    /// Whether the counts were tiny, so that the numbers mean nothing.
    pub quick: bool,
    pub rounds: u32,
    /// The machine and the versions; see [`machine`](crate::machine).
    pub machine: Value,
    /// Only in published results: by system, the settings that are the same in all rows, by path.
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

    /// The rows of an earlier run, for one that measures only some anew. None if that was on another machine, with other
    /// servers or with another number of rounds.
    pub fn rows_of_earlier_run(&self, path: &Path) -> Vec<Row> {
        let Ok(earlier) = Self::read(path) else {
            return Vec::new();
        };
        // The memory differs by a few pages from start to start.
        let machine = |results: &Self| {
            let mut machine = results.machine.clone();
            machine["memory"] = Value::Null;
            (results.quick, results.rounds, machine)
        };
        let is_alike = machine(&earlier) == machine(self);
        let rows = earlier.rows.into_iter().filter(|_| is_alike);
        rows.map(|row| Row {
            date: if row.date.is_empty() {
                earlier.date.clone()
            } else {
                row.date
            },
            ..row
        })
        .collect()
    }

    /// Adds a row, in place of an earlier one. `names` are all rows in their order.
    pub fn add(&mut self, row: Row, names: &[&str]) {
        self.rows.retain(|other| other.name != row.name);
        self.rows.push(row);
        let place = |row: &Row| names.iter().position(|name| *name == row.name);
        self.rows.sort_by_key(place);
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

/// Removes the settings that are the same in all rows from the rows, and returns them by system.
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
    // Settings that only one row has stay in that row.
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

/// Nested objects as one object with paths: `{"a": {"b": 1}}` becomes `{"a.b": 1}`.
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

/// JSON with line breaks, so that a difference between two versions can be read. Short values are on one line.
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
    fn a_row_takes_the_place_of_an_earlier_one() {
        let mut results = Results {
            date: String::new(),
            quick: false,
            rounds: 1,
            machine: Value::Null,
            settings: Value::Null,
            rows: ["first", "third"].map(|name| Row::new(name, "old")).into(),
            failed: Vec::new(),
        };
        for name in ["third", "second"] {
            results.add(Row::new(name, "new"), &["first", "second", "third"]);
        }
        let rows = results.rows.iter().map(|row| (&*row.name, &*row.title));
        let expected = [("first", "old"), ("second", "new"), ("third", "new")];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
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
