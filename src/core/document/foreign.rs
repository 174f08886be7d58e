//! Names the kind of a refused message that is obviously of another kind. It runs only after a refusal, changes nothing but
//! the text for `dlq.error`, and quotes nothing of the message.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::core::rejection::{Reason, Rejection};

/// The frame of a Schema Registry: this byte, the schema's id in four bytes, then the data.
const MAGIC_BYTE: u8 = 0;
const FRAME_BYTES: usize = 5;

const REGISTRY: &str = "it begins like the frame of a Schema Registry (a zero byte and a schema's id): let the producer \
     write plain JSON, or convert the topic";
const EXTENDED_JSON: &str = "it looks like MongoDB's Extended JSON (such as `$oid` or `$date`), which isn't \
     converted: let the producer write plain values";
const DEBEZIUM: &str = "it looks like a change event of Debezium: unwrap it (`ExtractNewRecordState`), or set \
     `message.schema` and `message.id` for it";

/// The names by which Extended JSON gives a value's type.
const TYPE_NAMES: [&str; 14] = [
    "$oid",
    "$date",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$timestamp",
    "$regularExpression",
    "$minKey",
    "$maxKey",
    "$symbol",
    "$dbPointer",
];

/// The rejection with a hint at what the payload obviously is.
#[cold]
pub(super) fn with_hint(mut rejection: Rejection, payload: &[u8]) -> Rejection {
    let hint = match rejection.reason {
        Reason::InvalidJson => {
            let is_frame = payload.len() > FRAME_BYTES && payload[0] == MAGIC_BYTE;
            is_frame.then_some(REGISTRY)
        }
        Reason::MissingField
        | Reason::InvalidField
        | Reason::ReservedField
        | Reason::SchemaViolation => kind_of(payload),
        Reason::EmptyPayload
        | Reason::NotAnObject
        | Reason::DuplicateField
        | Reason::InvalidFieldName
        | Reason::UnsupportedNumber
        | Reason::NestingTooDeep
        | Reason::DocumentTooLarge
        | Reason::WriteRejected
        | Reason::IdConflict
        | Reason::MongodbUnavailable => None,
    };
    if let Some(hint) = hint {
        rejection.error.push_str("; ");
        rejection.error.push_str(hint);
    }
    rejection
}

fn kind_of(payload: &[u8]) -> Option<&'static str> {
    let top: Shape = serde_json::from_slice(payload).ok()?;
    if top.has_typed_field {
        Some(EXTENDED_JSON)
    } else if top.is_envelope || top.has_envelope {
        Some(DEBEZIUM)
    } else {
        None
    }
}

/// What tells the kind of a message: the names of its top level, and those one level below.
#[derive(Default)]
struct Shape {
    /// A field's value is an object of Extended JSON.
    has_typed_field: bool,
    /// The object itself is the envelope of a change event.
    is_envelope: bool,
    /// Its `payload` is one, as where Kafka Connect adds the schema.
    has_envelope: bool,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        let mut names = Names::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let inner: Names = map.next_value()?;
            names.add(&name);
            shape.has_typed_field |= inner.is_typed;
            shape.has_envelope |= name == "payload" && inner.are_of_an_envelope();
        }
        shape.is_envelope = names.are_of_an_envelope();
        Ok(shape)
    }
}

/// What the names of an object say; all false for another value.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is about one name")]
struct Names {
    /// One of them is a type of Extended JSON.
    is_typed: bool,
    has_op: bool,
    has_source: bool,
    has_state: bool,
}

impl Names {
    fn add(&mut self, name: &str) {
        match name {
            "op" => self.has_op = true,
            "source" => self.has_source = true,
            "before" | "after" => self.has_state = true,
            _ => self.is_typed |= TYPE_NAMES.contains(&name),
        }
    }

    fn are_of_an_envelope(&self) -> bool {
        self.has_op && self.has_source && self.has_state
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = Names::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            map.next_value::<IgnoredAny>()?;
            names.add(&name);
        }
        Ok(names)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Names::default())
    }

    fn visit_unit<E>(self) -> Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Names, E> {
        Ok(Names::default())
    }
}
