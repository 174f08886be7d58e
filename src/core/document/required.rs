//! The fields that the specification requires of a message, and the check of one of them.

use super::created_at;
use super::elements::{self, Kind};
use super::fault::JsonType;
use crate::core::rejection::{Reason, Rejection};

/// The required fields, in the order in which they are checked.
#[derive(Default)]
pub(super) struct Required {
    pub message_id: FieldCheck,
    pub name: FieldCheck,
    pub created_at: FieldCheck,
    pub metadata: FieldCheck,
}

/// The result of checking one required field.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldCheck {
    #[default]
    Absent,
    Valid,
    WrongType(JsonType),
    Empty,
    /// A string that is not a date and time, and the reason.
    InvalidDateTime(&'static str),
}

impl FieldCheck {
    pub fn of_type(expected: JsonType, actual: JsonType) -> Self {
        if actual == expected {
            Self::Valid
        } else {
            Self::WrongType(actual)
        }
    }

    /// The check of a string that must be a date.
    pub fn of_date_time(text: &[u8]) -> Self {
        created_at::check(text).map_or_else(Self::InvalidDateTime, |()| Self::Valid)
    }

    /// The check of a string that may not be empty.
    pub fn of_text(text: &[u8]) -> Self {
        if text.is_empty() {
            Self::Empty
        } else {
            Self::Valid
        }
    }

    /// Whether a field that must be a string is one.
    pub fn is_string(self) -> bool {
        match self {
            Self::Valid | Self::Empty | Self::InvalidDateTime(_) => true,
            Self::Absent | Self::WrongType(_) => false,
        }
    }

    /// The fault of the field of this name, if it has one.
    pub fn check(self, field: &str, expected: &str) -> Result<(), Rejection> {
        let invalid = |but: &str| {
            let error = format!("`{field}` must be {expected}, but {but}");
            Err(Rejection::of_field(Reason::InvalidField, field, error))
        };
        match self {
            Self::Valid => Ok(()),
            Self::Absent => {
                let error = format!("`{field}` is missing; it must be {expected}");
                Err(Rejection::of_field(Reason::MissingField, field, error))
            }
            Self::WrongType(actual) => invalid(&format!("is {actual}")),
            Self::Empty => invalid("is empty"),
            Self::InvalidDateTime(why) => invalid(why),
        }
    }
}

impl Required {
    /// The checks of a document that is complete.
    pub fn of_document(document: &[u8]) -> Self {
        let mut required = Self::default();
        for element in elements::of(document) {
            let json_type = element.json_type();
            let of_string = |check: fn(&[u8]) -> FieldCheck| {
                if element.kind == Kind::String {
                    check(element.text())
                } else {
                    FieldCheck::WrongType(json_type)
                }
            };
            match element.name {
                b"message_id" => required.message_id = of_string(FieldCheck::of_text),
                b"name" => required.name = FieldCheck::of_type(JsonType::String, json_type),
                b"created_at" => required.created_at = of_string(FieldCheck::of_date_time),
                b"metadata" => required.metadata = FieldCheck::of_type(JsonType::Object, json_type),
                _ => {}
            }
        }
        required
    }

    pub fn check(&self) -> Result<(), Rejection> {
        self.message_id.check("message_id", "a non-empty string")?;
        self.name.check("name", "a string")?;
        self.created_at.check(
            "created_at",
            "a date of ISO 8601 such as 2023-07-15T12:34:56.789Z",
        )?;
        self.metadata.check("metadata", "an object")
    }
}
