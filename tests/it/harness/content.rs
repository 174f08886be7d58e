//! The messages of the tests, and the documents that they must become.

use std::borrow::Cow;

use bson::{Bson, Document, RawDocumentBuf};
use serde_json::Value;

use super::json::{Json, text};

/// A record to produce, and where it must end.
#[derive(Debug, Clone)]
pub struct Message {
    pub content: Content,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds; `None` is the time of sending.
    pub timestamp: Option<i64>,
    /// `None`: the partitioner chooses.
    pub partition: Option<i32>,
    pub fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// No value at all.
    Null,
    Bytes(Vec<u8>),
    /// A valid message. Its text is made from the number whenever it is needed, so that many messages take
    /// little memory.
    Numbered {
        prefix: &'static str,
        number: u64,
        padding: usize,
    },
}

/// Where a record must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// In MongoDB, once, with equal content, and not in the dead letter topic.
    Stored,
    /// In the dead letter topic, for this reason, and not in MongoDB.
    DeadLettered(&'static str),
    /// In the dead letter topic for this reason, while MongoDB holds another document with its id.
    Conflict(&'static str),
    /// Nowhere: its transaction was aborted, or it was deleted before it was read.
    Absent,
}

impl Message {
    pub fn new(content: Content, fate: Fate) -> Self {
        Self {
            content,
            key: None,
            headers: Vec::new(),
            timestamp: None,
            partition: None,
            fate,
        }
    }

    /// A record with this value that must be stored.
    pub fn stored(value: impl Into<Vec<u8>>) -> Self {
        Self::new(Content::Bytes(value.into()), Fate::Stored)
    }

    /// A record with this value that must be dead-lettered.
    pub fn refused(value: impl Into<Vec<u8>>, reason: &'static str) -> Self {
        Self::new(Content::Bytes(value.into()), Fate::DeadLettered(reason))
    }

    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    pub fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    pub fn fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }
}

impl Content {
    pub fn value(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Null => None,
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            &Self::Numbered {
                prefix,
                number,
                padding,
            } => Some(Cow::Owned(
                numbered_value(prefix, number, padding).into_bytes(),
            )),
        }
    }

    /// The `message_id` of a valid message.
    pub fn message_id(&self) -> Option<String> {
        if let Self::Numbered { prefix, number, .. } = self {
            return Some(numbered_id(prefix, *number));
        }
        let json: Value = serde_json::from_slice(&self.value()?).ok()?;
        Some(json.get("message_id")?.as_str()?.to_owned())
    }

    /// The expected document, without `received_at`. It is built by a parser and a tree, so that it shares no
    /// code with the worker's transcoder.
    pub fn document(&self) -> RawDocumentBuf {
        let value = self.value().expect("a valid message has a value");
        let json: serde_json::Map<String, Value> = serde_json::from_slice(&value).unwrap();
        let mut document = Document::new();
        document.insert("_id", bson_of(json["message_id"].clone()));
        for (name, value) in json {
            if name != "_id" {
                document.insert(name, bson_of(value));
            }
        }
        RawDocumentBuf::try_from(&document).unwrap()
    }
}

fn numbered_id(prefix: &str, number: u64) -> String {
    format!("{prefix}-{number:08}")
}

fn numbered_value(prefix: &str, number: u64, padding: usize) -> String {
    let (minute, second, milli) = (number / 60_000 % 60, number / 1000 % 60, number % 1000);
    let mut json = Json::message(&numbered_id(prefix, number))
        .set("name", format_args!(r#""item_{number:08}""#))
        .set(
            "created_at",
            format_args!(r#""2023-07-15T12:{minute:02}:{second:02}.{milli:03}Z""#),
        )
        .set(
            "metadata",
            r#"{"source":"system-a","version":"1.0.0","tags":["ä",null,true]}"#,
        )
        .add("number", number)
        .add("wide", number + (1 << 40))
        .add("ratio", format_args!("{}.1", number % 1000));
    if padding > 0 {
        json = json.add("padding", text(&"x".repeat(padding)));
    }
    json.to_string()
}

fn bson_of(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::String(text) => Bson::String(text),
        Value::Array(values) => Bson::Array(values.into_iter().map(bson_of).collect()),
        Value::Object(fields) => Bson::Document(
            fields
                .into_iter()
                .map(|(name, value)| (name, bson_of(value)))
                .collect(),
        ),
        Value::Number(number) => match number.as_i64() {
            Some(wide) => i32::try_from(wide).map_or(Bson::Int64(wide), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap()),
        },
    }
}
