//! Why a record can't be stored: the closed list of reasons, and one refusal with its details.

use std::fmt;

/// Why a record went to the dead letter topic. The codes are stable: they stand in `dlq.reason` and
/// in the metrics' `reason` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No value at all (a tombstone), or a value of no bytes.
    EmptyPayload,
    /// Not one JSON text: syntax, bad UTF-8, a byte order mark, bytes after its end.
    InvalidJson,
    /// A JSON text that isn't an object.
    NotAnObject,
    /// A required field is absent.
    MissingField,
    /// A required field has another type or an unusable value.
    InvalidField,
    /// A name occurs twice in one object, at any depth.
    DuplicateField,
    /// The message brings a field that is the worker's to set.
    ReservedField,
    /// A name that BSON can't hold: it contains a NUL.
    InvalidFieldName,
    /// A number that BSON can't hold without changing it.
    UnsupportedNumber,
    /// More than 100 levels of objects and arrays.
    NestingTooDeep,
    /// More than 16 MiB of BSON.
    DocumentTooLarge,
    /// MongoDB refused this record.
    WriteRejected,
    /// MongoDB holds another document under this `_id`.
    IdConflict,
    /// MongoDB could not be reached, and the configuration says to redirect.
    MongodbUnavailable,
}

impl Reason {
    pub const ALL: [Self; 14] = [
        Self::EmptyPayload,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::MissingField,
        Self::InvalidField,
        Self::DuplicateField,
        Self::ReservedField,
        Self::InvalidFieldName,
        Self::UnsupportedNumber,
        Self::NestingTooDeep,
        Self::DocumentTooLarge,
        Self::WriteRejected,
        Self::IdConflict,
        Self::MongodbUnavailable,
    ];

    /// The stable snake_case code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPayload => "empty_payload",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::DuplicateField => "duplicate_field",
            Self::ReservedField => "reserved_field",
            Self::InvalidFieldName => "invalid_field_name",
            Self::UnsupportedNumber => "unsupported_number",
            Self::NestingTooDeep => "nesting_too_deep",
            Self::DocumentTooLarge => "document_too_large",
            Self::WriteRejected => "write_rejected",
            Self::IdConflict => "id_conflict",
            Self::MongodbUnavailable => "mongodb_unavailable",
        }
    }
}

impl Reason {
    /// The reason of this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One refusal: the reason, and what a person needs to find the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    /// The field concerned: a path such as `metadata.tags[3]`, cut to a bounded length.
    pub field: Option<String>,
    /// One sentence for `dlq.error`. It never quotes a value out of the message.
    pub error: String,
    /// The server's error code, where the server refused.
    pub code: Option<i32>,
}

impl Rejection {
    #[must_use]
    pub fn new(reason: Reason, error: impl Into<String>) -> Self {
        Self {
            reason,
            field: None,
            error: error.into(),
            code: None,
        }
    }

    #[must_use]
    pub fn of_field(reason: Reason, field: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            reason,
            field: Some(field.into()),
            error: error.into(),
            code: None,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.error)
    }
}
