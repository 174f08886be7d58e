//! The top level of a message of the specification: its required fields, the fields that only the worker may set, and the
//! order of the fields in the document.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};

use super::bson_writer::{BsonWriter, Element};
use super::fault::{Fault, JsonType};
use super::field_path::FieldPath;
use super::received_at::ReceivedAt;
use super::required::{FieldCheck, Required};
use super::syntax;
use super::transcode::{StringSeed, Transcoder, ValueSeed};
use crate::core::rejection::{Reason, Rejection};

/// The field that the worker sets.
pub(super) const RECEIVED_AT: &str = "received_at";

/// About how many bytes the document has beyond the message's own text: `_id`, `received_at`, lengths.
pub(super) const EXPECTED_OVERHEAD: usize = 160;

/// The level of the document itself.
pub(super) const TOP_LEVEL: u8 = 1;

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
        Err(_) => Err(rejection(message.transcoder, text)),
    }
}

struct Message<'p, 'o> {
    transcoder: Transcoder<'p, 'o>,
    required: Required,
    /// The `_id` that the message itself has.
    given_id: Option<Cow<'p, str>>,
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
                    TopLevelField::Name => {
                        required.name = FieldCheck::of_type(JsonType::String, json_type);
                    }
                    TopLevelField::Metadata => {
                        required.metadata = FieldCheck::of_type(JsonType::Object, json_type);
                    }
                    TopLevelField::CreatedAt => {
                        required.created_at = match FieldCheck::of_type(JsonType::String, json_type)
                        {
                            FieldCheck::Valid => {
                                FieldCheck::of_date_time(transcoder.out.last_string(element))
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
    let check = FieldCheck::of_text(message_id);
    transcoder.out.insert_id(element)?;
    Ok(check)
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
}

/// Says why the transcoding of `text` stopped, either in the parser or by a rule of this module.
#[cold]
pub(super) fn rejection(transcoder: Transcoder<'_, '_>, text: &str) -> Rejection {
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
    let (fault, path) = transcoder.into_fault();
    // If the parser stopped although this is valid JSON, a number was beyond a double's range.
    fault.unwrap_or(Fault::DoubleTooLarge).rejection(&path)
}
