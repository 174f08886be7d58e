//! The top level of a message under rules of the operator's own: where its `_id` comes from, the fields that only the worker
//! may set, and the order of the fields in the document.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::bson_writer::{BsonWriter, Element};
use super::elements::{self, Kind, RawElement};
use super::fault::Fault;
use super::field_path::FieldPath;
use super::message::{self, EXPECTED_OVERHEAD, RECEIVED_AT, TOP_LEVEL};
use super::received_at::ReceivedAt;
use super::required::Required;
use super::rules::{IdSource, MessageParts, MessageSchema};
use super::transcode::{StringSeed, Transcoder, ValueSeed};
use crate::core::rejection::{Reason, Rejection};

const ID: &str = "_id";

/// Appends the document of the message `text`. After an error `out` holds a part of it.
pub(super) fn append(
    text: &str,
    parts: &MessageParts<'_>,
    schema: &MessageSchema,
    id: &IdSource,
    received_at: &ReceivedAt,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let start = out.len();
    let mut writer = BsonWriter::new(out, text.len() + EXPECTED_OVERHEAD);
    let (path, outside): (&[String], _) = match id {
        IdSource::Field(path) => (path, None),
        IdSource::Key => (&[], Some(id_of_key(parts.key))),
        IdSource::Position { topic } => {
            let id = format!("{topic}-{}-{}", parts.partition, parts.offset);
            (&[], Some(Ok(id)))
        }
    };
    let mut found = IdFound::Absent;
    // The message's own faults come first, so a fault of the key waits.
    let mut fault_of_key = None;
    match outside {
        None => {}
        Some(Ok(id)) => {
            let element = writer
                .begin_element(ID.as_bytes())
                .and_then(|element| writer.string(element, &id).map(|()| element))
                .map_err(|fault| fault.rejection(&FieldPath::default()))?;
            found = IdFound::set(writer.last_value(element));
        }
        Some(Err(rejection)) => fault_of_key = Some(rejection),
    }
    let mut message = OwnMessage {
        transcoder: Transcoder::new(text, writer),
        path,
        found,
        given_id: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = deserializer
        .deserialize_map(&mut message)
        .and_then(|()| deserializer.end());
    if parsed.is_err() {
        return Err(message::rejection(message.transcoder, text));
    }
    let OwnMessage {
        transcoder,
        found,
        given_id,
        ..
    } = message;
    let mut writer = transcoder.out;
    writer
        .begin_element(RECEIVED_AT.as_bytes())
        .and_then(|element| writer.string(element, received_at.as_str()))
        .and_then(|()| writer.finish())
        .map_err(|fault| fault.rejection(&FieldPath::default()))?;
    if let Some(rejection) = fault_of_key {
        return Err(rejection);
    }
    if let IdSource::Field(path) = id {
        found.check(&path.join("."))?;
    }
    let document = &out[start..];
    match schema {
        MessageSchema::Any => Ok(()),
        MessageSchema::Specification => Required::of_document(document).check(),
        MessageSchema::JsonSchema(schema) => schema.check(document, given_id.is_some()),
    }
}

/// The id of a record by its key.
fn id_of_key(key: Option<&[u8]>) -> Result<String, Rejection> {
    let invalid = |but: &str| {
        let error =
            format!("the record's key must be a text, because `message.id` is `$key`, but {but}");
        Rejection::of_field(Reason::InvalidField, "$key", error)
    };
    match key.map(std::str::from_utf8) {
        None => Err(Rejection::of_field(
            Reason::MissingField,
            "$key",
            "the record has no key; `message.id` is `$key`, so it must be a text that isn't empty",
        )),
        Some(Ok("")) => Err(invalid("is empty")),
        Some(Ok(key)) => Ok(key.to_owned()),
        Some(Err(_)) => Err(invalid("isn't UTF-8")),
    }
}

struct OwnMessage<'p, 'o, 'r> {
    transcoder: Transcoder<'p, 'o>,
    /// The names that lead to the id; empty if it doesn't come from a field.
    path: &'r [String],
    found: IdFound,
    /// The `_id` that the message itself has.
    given_id: Option<IdValue>,
}

/// An id: its BSON type and its value.
#[derive(PartialEq, Eq)]
struct IdValue {
    kind: u8,
    value: Vec<u8>,
}

/// What became of the id while the message is read.
enum IdFound {
    Absent,
    /// It is the document's `_id`.
    Set(IdValue),
    Empty,
    WrongType(&'static str),
}

impl IdFound {
    fn set((kind, value): (u8, &[u8])) -> Self {
        Self::Set(IdValue {
            kind,
            value: value.to_vec(),
        })
    }

    fn of(element: &RawElement<'_>) -> Self {
        match element.kind {
            Kind::String if element.text().is_empty() => Self::Empty,
            Kind::String | Kind::Int32 | Kind::Int64 => {
                Self::set((element.whole[0], element.value))
            }
            Kind::Double => Self::WrongType("is a number with a point or an exponent"),
            Kind::Document => Self::WrongType("is an object"),
            Kind::Array => Self::WrongType("is an array"),
            Kind::Boolean => Self::WrongType("is a boolean"),
            Kind::Null => Self::WrongType("is null"),
        }
    }

    fn check(&self, field: &str) -> Result<(), Rejection> {
        const EXPECTED: &str = "a non-empty string or a 64-bit integer";
        // The name is the configuration's, and no text of the message.
        let (reason, error) = match self {
            Self::Set(_) => return Ok(()),
            Self::Absent => (
                Reason::MissingField,
                format!("`{field}` is missing; it is the id, and must be {EXPECTED}"),
            ),
            Self::Empty => (
                Reason::InvalidField,
                format!("`{field}` must be {EXPECTED}, but is empty"),
            ),
            Self::WrongType(but) => (
                Reason::InvalidField,
                format!("`{field}` must be {EXPECTED}, but {but}"),
            ),
        };
        Err(Rejection::of_field(reason, field, error))
    }
}

impl<'p> Visitor<'p> for &mut OwnMessage<'p, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = self.transcoder.open_object();
        let OwnMessage {
            transcoder,
            path,
            found,
            given_id,
        } = self;
        let (first, inner) = match path.split_first() {
            Some((first, inner)) => (Some(first.as_str()), inner),
            None => (None, &[][..]),
        };
        while let Some(name) = map.next_key_seed(StringSeed)? {
            if name == RECEIVED_AT {
                let fault = Fault::ReceivedAtGiven;
                return transcoder.field(&mut names, name, |transcoder, _| {
                    Err(transcoder.refuse(fault))
                });
            }
            let has_id = first.is_some_and(|first| first == name);
            let is_own_id = name == ID;
            transcoder.field(&mut names, name, |transcoder, element| {
                map.next_value_seed(ValueSeed {
                    transcoder: &mut *transcoder,
                    element,
                    level: TOP_LEVEL,
                })?;
                let taken = if has_id {
                    take_id(
                        &mut transcoder.out,
                        element,
                        inner,
                        is_own_id,
                        found,
                        given_id,
                    )
                } else if is_own_id {
                    take_own_id(&mut transcoder.out, element, found, given_id)
                } else {
                    Ok(())
                };
                taken.map_err(|fault| transcoder.refuse(fault))
            })?;
        }
        Ok(())
    }
}

/// Finds the id in the field that was just written, and inserts it as the document's `_id`. `inner` are the names below the
/// field.
fn take_id(
    out: &mut BsonWriter<'_>,
    element: Element,
    inner: &[String],
    is_own_id: bool,
    found: &mut IdFound,
    given_id: &mut Option<IdValue>,
) -> Result<(), Fault> {
    let Some(field) = elements::first(out.last_element(element)) else {
        return Ok(());
    };
    let inside = inner.iter().try_fold(field, |field, name| {
        (field.kind == Kind::Document).then(|| elements::find(field.value, name.as_bytes()))?
    });
    *found = inside.map_or(IdFound::Absent, |id| IdFound::of(&id));
    let IdFound::Set(id) = found else {
        return Ok(());
    };
    if is_own_id && inner.is_empty() {
        // The message's own `_id` is the document's. It stands in front.
        // It needs no room for that, which an insertion would at the limit of a document.
        out.move_to_front(element);
        *given_id = Some(IdValue {
            kind: id.kind,
            value: id.value.clone(),
        });
        return Ok(());
    }
    if given_id.as_ref().is_some_and(|given| given != id) {
        return Err(Fault::IdDiffersFromOwn);
    }
    out.insert_id_value(id.kind, &id.value)
}

/// Takes back the message's own `_id`, which must be the same as the id.
fn take_own_id(
    out: &mut BsonWriter<'_>,
    element: Element,
    found: &IdFound,
    given_id: &mut Option<IdValue>,
) -> Result<(), Fault> {
    let given = elements::first(out.last_element(element)).map(|own| IdFound::of(&own));
    let Some(IdFound::Set(given)) = given else {
        return Err(Fault::IdDiffersFromOwn);
    };
    if let IdFound::Set(id) = found
        && *id != given
    {
        return Err(Fault::IdDiffersFromOwn);
    }
    out.take_back(element);
    *given_id = Some(given);
    Ok(())
}
