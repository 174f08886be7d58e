//! Parses JSON text. Unlike `serde_json`, it also reports the names that an object contains more than once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON pointer: the names that lead to a value, from the outermost object on.
pub(super) type Pointer = String;

/// Where a text stops being JSON, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub line: usize,
    pub column: usize,
    /// Never quotes the text.
    pub message: String,
}

/// Parses a text. Where an object contains a name more than once, the first value is kept, and the pointers to the
/// others are returned too.
pub(super) fn parse(text: &str) -> Result<(Value, Vec<Pointer>), SyntaxError> {
    let node: Node = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        SyntaxError {
            line,
            column,
            message: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
        }
    })?;
    let mut repeated = Vec::new();
    let value = node.into_value("", &mut repeated);
    Ok((value, repeated))
}

/// A name as a part of a pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A part of a pointer as a name.
pub(super) fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

/// The type of a value, for error messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A JSON value whose objects keep entries with the same name.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Node {
    Object(Entries),
    List(Vec<Node>),
    Other(Value),
}

struct Entries(Vec<(String, Node)>);

impl Node {
    fn into_value(self, at: &str, repeated: &mut Vec<Pointer>) -> Value {
        let entries = match self {
            Self::Object(Entries(entries)) => entries,
            Self::List(nodes) => {
                let nodes = nodes.into_iter().enumerate();
                let values =
                    nodes.map(|(index, node)| node.into_value(&format!("{at}/{index}"), repeated));
                return values.collect();
            }
            Self::Other(value) => return value,
        };
        let mut object = Map::new();
        for (name, node) in entries {
            let at = format!("{at}/{}", escaped(&name));
            if object.contains_key(&name) {
                repeated.push(at);
            } else {
                object.insert(name, node.into_value(&at, repeated));
            }
        }
        Value::Object(object)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_names_are_reported_and_the_first_value_is_kept() {
        let text = r#"{"a": 1, "a": 1.0, "b": {"c": 2, "d": [{}, {"f": 1, "f": 2}], "c": 3}, "b": {"e": 0, "e": 0}}"#;
        let (value, repeated) = parse(text).unwrap();
        assert_eq!(value, json!({"a": 1, "b": {"c": 2, "d": [{}, {"f": 1}]}}));
        assert_eq!(repeated, ["/a", "/b/d/1/f", "/b/c", "/b"]);
    }

    #[test]
    fn numbers_keep_their_types() {
        let (value, _) = parse(r"[-3, 1.0, 18446744073709551615, 1e2]").unwrap();
        assert_eq!(value.to_string(), "[-3,1.0,18446744073709551615,100.0]");
    }

    #[test]
    fn a_syntax_error_has_line_and_column_and_quotes_nothing() {
        let error = parse("{\n  \"uri\": \"hunter2\",,\n}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 20));
        assert_eq!(error.message, "key must be a string");
        let error = parse("{} hunter2").unwrap_err();
        assert_eq!(error.message, "trailing characters");
    }
}
