//! Formats one log record as one line. Pure: time and thread are arguments.

use std::io::{self, Write};
use std::mem;

use jiff::Timestamp;
use log::Record;
use log::kv::{self, Key, VisitSource, VisitValue};
use serde::Serialize;
use serde_json::{Map, Value};

/// Who writes the log; in every line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The consumer group.
    pub group: String,
    /// This process: the host's name and the process id.
    pub instance: String,
}

/// The keys that every JSON line has. A record's field with one of these names gets a trailing underscore.
const FIXED: [&str; 7] = [
    "ts", "level", "target", "thread", "msg", "group", "instance",
];

/// The version of the Elastic Common Schema that `ecs` follows.
const ECS_VERSION: &str = "8.11.0";

/// Writes one JSON object: the fixed keys, then the record's fields in their order.
pub(super) fn json(
    out: &mut impl Write,
    now: Timestamp,
    thread: &str,
    source: Option<&Source>,
    record: &Record<'_>,
) -> io::Result<()> {
    let mut line = Object::begin(out)?;
    line.add("ts", &format!("{now:.3}"))?;
    line.add("level", record.level().as_str())?;
    line.add("target", record.target())?;
    line.add("thread", thread)?;
    line.add("msg", &record.args().to_string())?;
    if let Some(source) = source {
        line.add("group", &source.group)?;
        line.add("instance", &source.instance)?;
    }
    for (key, value) in Fields::of(record).0 {
        line.add(&key, &value)?;
    }
    line.end()
}

/// Writes one JSON object with the names of the Elastic Common Schema. Fields that it doesn't know are in an object with
/// the program's name, so that they can't clash with its own.
pub(super) fn ecs(
    out: &mut impl Write,
    now: Timestamp,
    thread: &str,
    source: Option<&Source>,
    record: &Record<'_>,
) -> io::Result<()> {
    let mut own = Map::new();
    let mut line = Object::begin(out)?;
    line.add("@timestamp", &format!("{now:.3}"))?;
    line.add("log.level", &record.level().as_str().to_lowercase())?;
    line.add("message", &record.args().to_string())?;
    line.add("ecs.version", ECS_VERSION)?;
    line.add("log.logger", record.target())?;
    line.add("process.thread.name", thread)?;
    line.add("service.name", env!("CARGO_PKG_NAME"))?;
    line.add("service.version", env!("CARGO_PKG_VERSION"))?;
    if let Some(source) = source {
        line.add("service.node.name", &source.instance)?;
        own.insert("group".to_owned(), source.group.as_str().into());
    }
    own.extend(Fields::of(record).0);
    if let Some(backtrace) = own.remove("backtrace") {
        line.add("error.stack_trace", &backtrace)?;
    }
    if !own.is_empty() {
        line.add("kafka_mongo_consumer", &own)?;
    }
    line.end()
}

/// Writes `ts LEVEL thread target: msg key=value` for people to read. It is always one line, because
/// control characters are escaped.
pub(super) fn text(
    out: &mut impl Write,
    now: Timestamp,
    thread: &str,
    source: Option<&Source>,
    record: &Record<'_>,
) -> io::Result<()> {
    write!(
        out,
        "{now:.3} {:5} {thread} {}: {}",
        record.level(),
        record.target(),
        escape_control(&record.args().to_string())
    )?;
    let mut field = |key: &str, value: Value| {
        let value = match value {
            Value::String(word) if is_plain(&word) => word,
            other => escape_control(&other.to_string()),
        };
        write!(out, " {}={value}", escape_control(key))
    };
    for (key, value) in Fields::of(record).0 {
        field(&key, value)?;
    }
    if let Some(source) = source {
        field("group", source.group.as_str().into())?;
        field("instance", source.instance.as_str().into())?;
    }
    out.write_all(b"\n")
}

/// A JSON object that is written member by member.
struct Object<'w, W> {
    out: &'w mut W,
    is_empty: bool,
}

impl<'w, W: Write> Object<'w, W> {
    fn begin(out: &'w mut W) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    fn add(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        if !mem::take(&mut self.is_empty) {
            self.out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.write_all(b":")?;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(b"}\n")
    }
}

/// Escapes control characters: they could end the line, or make a terminal show something else.
fn escape_control(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a text line can show the value without quotes.
fn is_plain(word: &str) -> bool {
    !word.is_empty()
        && !word
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '"' | '=' | '\\'))
}

/// The fields of a record, in their order.
pub(super) struct Fields(pub(super) Vec<(String, Value)>);

impl Fields {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let mut fields = Self(Vec::new());
        // Can fail only in the caller's `Source`. The fields visited before that are kept. The failure
        // is dropped, because it could only be reported in another log line.
        let _ = record.key_values().visit(&mut fields);
        fields
    }
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let mut key = key.to_string();
        while FIXED.contains(&key.as_str()) || self.0.iter().any(|(used, _)| *used == key) {
            key.push('_');
        }
        let mut converted = Converted(Value::Null);
        value.visit(&mut converted)?;
        self.0.push((key, converted.0));
        Ok(())
    }
}

/// A field's value as JSON: numbers, booleans and lists keep their types, every other value becomes a string.
struct Converted(Value);

impl VisitValue<'_> for Converted {
    /// A value that is known by its text only. A list that was given with `:?` reads like a JSON array.
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        let text = value.to_string();
        let list = text
            .starts_with('[')
            .then(|| serde_json::from_str::<Vec<Value>>(&text).ok());
        self.0 = list.flatten().map_or(Value::String(text), Value::Array);
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.0 = Value::String(value.to_owned());
        Ok(())
    }

    /// A number beyond the range of 64 bits becomes a string: many readers would round it.
    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.0 = u64::try_from(value).map_or_else(|_| Value::from(value.to_string()), Value::from);
        Ok(())
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.0 = i64::try_from(value).map_or_else(|_| Value::from(value.to_string()), Value::from);
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0 = Value::Null;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = Value::from(value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = Value::from(value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        // JSON has no NaN and no infinities: they become strings.
        self.0 = serde_json::Number::from_f64(value)
            .map_or_else(|| Value::String(value.to_string()), Value::Number);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = Value::Bool(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
