//! The faults that a message can have although it is valid JSON, and the error text of each.

use std::fmt;

use super::field_path::FieldPath;
use super::limits::{MAX_DOCUMENT_BYTES, MAX_LEVELS};
use crate::core::rejection::{Reason, Rejection};

/// A fault that ends the transcoding as soon as it is found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    DuplicateName,
    NulInName,
    /// A top-level `received_at`.
    ReceivedAtGiven,
    /// A top-level `_id` that isn't the `message_id`.
    IdDiffers,
    /// A top-level `_id` that isn't the id which the configuration names.
    IdDiffersFromOwn,
    IntegerTooLarge,
    DoubleTooLarge,
    TooDeep,
    TooLarge,
}

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Fault {
    /// The rejection of a message that has this fault at `path`.
    pub fn rejection(self, path: &FieldPath) -> Rejection {
        let field = path.to_string();
        match self {
            Self::DuplicateName => {
                let error = format!("`{field}` occurs more than once in its object");
                Rejection::of_field(Reason::DuplicateField, field, error)
            }
            Self::NulInName => {
                let error = format!("the name `{field}` contains a NUL, which BSON can't hold");
                Rejection::of_field(Reason::InvalidFieldName, field, error)
            }
            Self::ReceivedAtGiven => Rejection::of_field(
                Reason::ReservedField,
                "received_at",
                "`received_at` is set by the consumer and must not be in the message",
            ),
            Self::IdDiffers => Rejection::of_field(
                Reason::ReservedField,
                "_id",
                "`_id` is set by the consumer; leave it out, or set it to the same text as `message_id`",
            ),
            Self::IdDiffersFromOwn => Rejection::of_field(
                Reason::ReservedField,
                "_id",
                "`_id` is set by the consumer to what `message.id` names; leave it out, or set it to the same value",
            ),
            Self::IntegerTooLarge => {
                let error = format!("`{field}` is an integer that doesn't fit in 64 bits");
                Rejection::of_field(Reason::UnsupportedNumber, field, error)
            }
            Self::DoubleTooLarge => {
                let error = format!("`{field}` is a number beyond the range of a double");
                Rejection::of_field(Reason::UnsupportedNumber, field, error)
            }
            Self::TooDeep => {
                let error = format!("`{field}` is nested deeper than {MAX_LEVELS} levels");
                Rejection::of_field(Reason::NestingTooDeep, field, error)
            }
            // No field is named: the field that crosses the limit need not be the large one.
            Self::TooLarge => Rejection::new(
                Reason::DocumentTooLarge,
                format!("the document is larger than {MAX_DOCUMENT_BYTES} bytes of BSON"),
            ),
        }
    }
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}
