//! The text of a JSON file as a tree that keeps what `serde_json::Value` loses: names given twice,
//! and the difference between a whole number and a fraction.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Boolean(bool),
    Integer(i128),
    Fraction(f64),
    Text(String),
    /// No key takes an array: its elements are of no interest.
    Array,
    /// In the order of the file, duplicates included.
    Object(Vec<(String, Node)>),
}

/// Where a text stops being JSON, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub line: usize,
    pub column: usize,
    /// Never quotes the text.
    pub message: String,
}

impl Node {
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = error.to_string();
            let place = format!(" at line {line} column {column}");
            SyntaxError {
                line,
                column,
                message: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
            }
        })
    }

    /// What was found, for an error: numbers and booleans as they are, all else by its type.
    pub fn found(&self) -> String {
        match self {
            Self::Boolean(value) => format!("`{value}`"),
            Self::Integer(value) => format!("`{value}`"),
            Self::Fraction(value) => format!("`{value:?}`"),
            Self::Null | Self::Text(_) | Self::Array | Self::Object(_) => self.type_name().into(),
        }
    }

    /// What was found, for an error about a value that may be a secret.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::Fraction(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Node::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_kinds_of_numbers_are_kept() {
        let node = Node::parse(r#"{"a": 1, "a": 1.0, "b": [1, {"c": 2}], "d": -3}"#).unwrap();
        let expected = Node::Object(vec![
            ("a".into(), Node::Integer(1)),
            ("a".into(), Node::Fraction(1.0)),
            ("b".into(), Node::Array),
            ("d".into(), Node::Integer(-3)),
        ]);
        assert_eq!(node, expected);
    }

    #[test]
    fn a_syntax_error_has_its_place_and_quotes_nothing() {
        let error = Node::parse("{\n  \"uri\": \"hunter2\",,\n}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 20));
        assert_eq!(error.message, "key must be a string");
        let error = Node::parse("{} hunter2").unwrap_err();
        assert_eq!(error.message, "trailing characters");
    }
}
