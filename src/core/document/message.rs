//! The top level of a message: its required fields, the fields that are the worker's to set, and the
//! order of the document that comes of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::fault::{Fault, JsonType};
use super::path::Path;
use super::received_at::ReceivedAt;
use super::transcode::{StringSeed, Transcoder, ValueSeed};
use super::writer::{Element, Writer};
use super::{created_at, syntax};
use crate::core::rejection::{Reason, Rejection};

/// The field that the worker sets.
pub(super) const RECEIVED_AT: &str = "received_at";

/// What the document has beyond the message's own text, about: `_id`, `received_at`, lengths.
const EXPECTED_OVERHEAD: usize = 160;

/// The level of the document itself.
const TOP_LEVEL: u8 = 1;

/// Appends the document of the message `text`. On an error `out` holds part of it.
pub(super) fn append(
    text: &str,
    received_at: &ReceivedAt,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let writer = Writer::new(out, text.len() + EXPECTED_OVERHEAD);
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
    /// The message's own `_id`.
    given_id: Option<Cow<'p, str>>,
}

/// The required fields, in the order in which they are checked.
#[derive(Default)]
struct Required {
    message_id: Found,
    name: Found,
    created_at: Found,
    metadata: Found,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Found {
    #[default]
    Absent,
    Usable,
    WrongType(JsonType),
    Empty,
    /// A string that is no date and time, and why.
    NoDateTime(&'static str),
}

/// What a field of the top level is to us.
#[derive(Clone, Copy)]
enum Known {
    Id,
    MessageId,
    Name,
    CreatedAt,
    Metadata,
    ReceivedAt,
    Other,
}

impl Known {
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
            let known = Known::of(&name);
            transcoder.field(&mut names, name, |transcoder, element| {
                match known {
                    Known::Id => {
                        // Whatever stops the parser here: if the payload is JSON, this is no string.
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
                    Known::ReceivedAt => return Err(transcoder.refuse(Fault::ReceivedAtGiven)),
                    Known::MessageId
                    | Known::Name
                    | Known::CreatedAt
                    | Known::Metadata
                    | Known::Other => {}
                }
                let found = map.next_value_seed(ValueSeed {
                    transcoder: &mut *transcoder,
                    element,
                    level: TOP_LEVEL,
                })?;
                match known {
                    Known::MessageId => {
                        required.message_id =
                            take_message_id(transcoder, element, found, given_id.as_deref())
                                .map_err(|fault| transcoder.refuse(fault))?;
                    }
                    Known::Name => required.name = expect(JsonType::String, found),
                    Known::Metadata => required.metadata = expect(JsonType::Object, found),
                    Known::CreatedAt => {
                        required.created_at = match expect(JsonType::String, found) {
                            Found::Usable => created_at::check(transcoder.out.last_string(element))
                                .map_or_else(Found::NoDateTime, |()| Found::Usable),
                            unusable => unusable,
                        };
                    }
                    Known::Id | Known::ReceivedAt | Known::Other => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Looks at the `message_id` that was just written and makes it the `_id`, too.
fn take_message_id(
    transcoder: &mut Transcoder<'_, '_>,
    element: Element,
    found: JsonType,
    given_id: Option<&str>,
) -> Result<Found, Fault> {
    if found != JsonType::String {
        return Ok(Found::WrongType(found));
    }
    let message_id = transcoder.out.last_string(element);
    if given_id.is_some_and(|id| id.as_bytes() != message_id) {
        return Err(Fault::IdDiffers);
    }
    let found = if message_id.is_empty() {
        Found::Empty
    } else {
        Found::Usable
    };
    transcoder.out.insert_id(element)?;
    Ok(found)
}

fn expect(expected: JsonType, found: JsonType) -> Found {
    if found == expected {
        Found::Usable
    } else {
        Found::WrongType(found)
    }
}

impl Found {
    /// Whether it is a string, of a field that is to be one.
    fn is_string(self) -> bool {
        match self {
            Self::Usable | Self::Empty | Self::NoDateTime(_) => true,
            Self::Absent | Self::WrongType(_) => false,
        }
    }
}

impl Message<'_, '_> {
    /// Ends the document of a message that was transcoded to its end.
    fn finish(self, received_at: &ReceivedAt) -> Result<(), Rejection> {
        let mut out = self.transcoder.out;
        out.begin_element(RECEIVED_AT.as_bytes())
            .and_then(|element| out.string(element, received_at.as_str()))
            .and_then(|()| out.finish())
            .map_err(|fault| fault.rejection(&Path::default()))?;
        self.required.check()
    }

    /// Says why the parser, or we, stopped within `text`.
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
        // Where it was the parser, and yet this is JSON, a number was beyond its range.
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
            "an RFC 3339 date and time such as 2023-07-15T12:34:56.789Z",
        )?;
        check_required("metadata", self.metadata, "an object")
    }
}

fn check_required(field: &str, found: Found, expected: &str) -> Result<(), Rejection> {
    let invalid = |but: &str| {
        let error = format!("`{field}` must be {expected}, but {but}");
        Err(Rejection::of_field(Reason::InvalidField, field, error))
    };
    match found {
        Found::Usable => Ok(()),
        Found::Absent => {
            let error = format!("`{field}` is missing; it must be {expected}");
            Err(Rejection::of_field(Reason::MissingField, field, error))
        }
        Found::WrongType(found) => invalid(&format!("is {found}")),
        Found::Empty => invalid("is empty"),
        Found::NoDateTime(why) => invalid(why),
    }
}
