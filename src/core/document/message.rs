//! The top level of a message: its required fields, the fields that only the worker may set, and the
//! order of the fields in the document.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::bson_writer::{BsonWriter, Element};
use super::fault::{Fault, JsonType};
use super::field_path::FieldPath;
use super::received_at::ReceivedAt;
use super::transcode::{StringSeed, Transcoder, ValueSeed};
use super::{created_at, syntax};
use crate::core::rejection::{Reason, Rejection};

/// The field that the worker sets.
pub(super) const RECEIVED_AT: &str = "received_at";

/// About how many bytes the document has beyond the message's own text: `_id`, `received_at`, lengths.
const EXPECTED_OVERHEAD: usize = 160;

/// The level of the document itself.
const TOP_LEVEL: u8 = 1;

/// Appends the document of the message `text`. After an error `out` holds a part of it.
pub(super) fn append(
    text: &str,
    received_at: &ReceivedAt,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let writer = BsonWriter::new(out, text.len() + EXPECTED_OVERHEAD);
    let mut message = Message {
        transcoder: Transcoder::new(text, writer),
        required: Required::default(),
        given_id: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = deserializer
        .deserialize_map(&mut message)
        .and_then(|()| deserializer.end());
    match parsed {
        Ok(()) => message.finish(received_at),
        Err(_) => Err(message.rejection(text)),
    }
}

struct Message<'p, 'o> {
    transcoder: Transcoder<'p, 'o>,
    required: Required,
    /// The `_id` that the message itself has.
    given_id: Option<Cow<'p, str>>,
}

/// The required fields, in the order in which they are checked.
#[derive(Default)]
struct Required {
    message_id: FieldCheck,
    name: FieldCheck,
    created_at: FieldCheck,
    metadata: FieldCheck,
}

/// The result of checking one required field.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum FieldCheck {
    #[default]
    Absent,
    Valid,
    WrongType(JsonType),
    Empty,
    /// A string that is not a date and time, and the reason.
    InvalidDateTime(&'static str),
}

/// A field of the top level that has a rule of its own.
#[derive(Clone, Copy)]
enum TopLevelField {
    Id,
    MessageId,
    Name,
    CreatedAt,
    Metadata,
    ReceivedAt,
    Other,
}

impl TopLevelField {
    fn of(name: &str) -> Self {
        match name {
            "_id" => Self::Id,
            "message_id" => Self::MessageId,
            "name" => Self::Name,
            "created_at" => Self::CreatedAt,
            "metadata" => Self::Metadata,
            RECEIVED_AT => Self::ReceivedAt,
            _ => Self::Other,
        }
    }
}

impl<'p> Visitor<'p> for &mut Message<'p, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = self.transcoder.open_object();
        let Message {
            transcoder,
            required,
            given_id,
        } = self;
        while let Some(name) = map.next_key_seed(StringSeed)? {
            let field = TopLevelField::of(&name);
            transcoder.field(&mut names, name, |transcoder, element| {
                match field {
                    TopLevelField::Id => {
                        // If the parser fails here although the payload is valid JSON, `_id` isn't a
                        // string, and so differs from any `message_id`.
                        let id = map
                            .next_value_seed(StringSeed)
                            .map_err(|_| transcoder.refuse(Fault::IdDiffers))?;
                        if required.message_id.is_string() && transcoder.out.id() != id.as_bytes() {
                            return Err(transcoder.refuse(Fault::IdDiffers));
                        }
                        transcoder.out.take_back(element);
                        *given_id = Some(id);
                        return Ok(());
                    }
                    TopLevelField::ReceivedAt => {
                        return Err(transcoder.refuse(Fault::ReceivedAtGiven));
                    }
                    TopLevelField::MessageId
                    | TopLevelField::Name
                    | TopLevelField::CreatedAt
                    | TopLevelField::Metadata
                    | TopLevelField::Other => {}
                }
                let json_type = map.next_value_seed(ValueSeed {
                    transcoder: &mut *transcoder,
                    element,
                    level: TOP_LEVEL,
                })?;
                match field {
                    TopLevelField::MessageId => {
                        required.message_id =
                            take_message_id(transcoder, element, json_type, given_id.as_deref())
                                .map_err(|fault| transcoder.refuse(fault))?;
                    }
                    TopLevelField::Name => required.name = check_type(JsonType::String, json_type),
                    TopLevelField::Metadata => {
                        required.metadata = check_type(JsonType::Object, json_type);
                    }
                    TopLevelField::CreatedAt => {
                        required.created_at = match check_type(JsonType::String, json_type) {
                            FieldCheck::Valid => {
                                created_at::check(transcoder.out.last_string(element))
                                    .map_or_else(FieldCheck::InvalidDateTime, |()| {
                                        FieldCheck::Valid
                                    })
                            }
                            invalid => invalid,
                        };
                    }
                    TopLevelField::Id | TopLevelField::ReceivedAt | TopLevelField::Other => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Checks the `message_id` that was just written, and inserts it as the `_id`.
fn take_message_id(
    transcoder: &mut Transcoder<'_, '_>,
    element: Element,
    json_type: JsonType,
    given_id: Option<&str>,
) -> Result<FieldCheck, Fault> {
    if json_type != JsonType::String {
        return Ok(FieldCheck::WrongType(json_type));
    }
    let message_id = transcoder.out.last_string(element);
    if given_id.is_some_and(|id| id.as_bytes() != message_id) {
        return Err(Fault::IdDiffers);
    }
    let check = if message_id.is_empty() {
        FieldCheck::Empty
    } else {
        FieldCheck::Valid
    };
    transcoder.out.insert_id(element)?;
    Ok(check)
}

fn check_type(expected: JsonType, actual: JsonType) -> FieldCheck {
    if actual == expected {
        FieldCheck::Valid
    } else {
        FieldCheck::WrongType(actual)
    }
}

impl FieldCheck {
    /// Whether a field that must be a string is one.
    fn is_string(self) -> bool {
        match self {
            Self::Valid | Self::Empty | Self::InvalidDateTime(_) => true,
            Self::Absent | Self::WrongType(_) => false,
        }
    }
}

impl Message<'_, '_> {
    /// Completes the document of a message that was transcoded to its end.
    fn finish(self, received_at: &ReceivedAt) -> Result<(), Rejection> {
        let mut out = self.transcoder.out;
        out.begin_element(RECEIVED_AT.as_bytes())
            .and_then(|element| out.string(element, received_at.as_str()))
            .and_then(|()| out.finish())
            .map_err(|fault| fault.rejection(&FieldPath::default()))?;
        self.required.check()
    }

    /// Says why the transcoding of `text` stopped, either in the parser or by a rule of this module.
    #[cold]
    fn rejection(self, text: &str) -> Rejection {
        if let Err(rejection) = syntax::check(text) {
            return rejection;
        }
        let top_level = syntax::top_level_type(text);
        if top_level != JsonType::Object {
            return Rejection::new(
                Reason::NotAnObject,
                format!("the message must be a JSON object, but is {top_level}"),
            );
        }
        let (fault, path) = self.transcoder.into_fault();
        // If the parser stopped although this is valid JSON, a number was beyond a double's range.
        fault.unwrap_or(Fault::DoubleTooLarge).rejection(&path)
    }
}

impl Required {
    fn check(&self) -> Result<(), Rejection> {
        check_required("message_id", self.message_id, "a non-empty string")?;
        check_required("name", self.name, "a string")?;
        check_required(
            "created_at",
            self.created_at,
            "a date of ISO 8601 such as 2023-07-15T12:34:56.789Z",
        )?;
        check_required("metadata", self.metadata, "an object")
    }
}

fn check_required(field: &str, check: FieldCheck, expected: &str) -> Result<(), Rejection> {
    let invalid = |but: &str| {
        let error = format!("`{field}` must be {expected}, but {but}");
        Err(Rejection::of_field(Reason::InvalidField, field, error))
    };
    match check {
        FieldCheck::Valid => Ok(()),
        FieldCheck::Absent => {
            let error = format!("`{field}` is missing; it must be {expected}");
            Err(Rejection::of_field(Reason::MissingField, field, error))
        }
        FieldCheck::WrongType(actual) => invalid(&format!("is {actual}")),
        FieldCheck::Empty => invalid("is empty"),
        FieldCheck::InvalidDateTime(why) => invalid(why),
    }
}
