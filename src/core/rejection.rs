//! Why a record can't be stored: the complete list of reasons, and one rejection with its details.

use std::fmt;

/// Why a record went to the dead letter topic. The codes are stable: they are the values of the header
/// `dlq.reason` and of the metrics' label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The message has no value (a tombstone), or a value of 0 bytes.
    EmptyPayload,
    /// The value isn't one JSON text: a syntax error, invalid UTF-8, a byte order mark, or bytes after
    /// the end of the JSON.
    InvalidJson,
    /// The value is JSON, but not an object.
    NotAnObject,
    /// A required field is missing.
    MissingField,
    /// A required field has the wrong type or an invalid value.
    InvalidField,
    /// A name occurs twice in one object, at any depth.
    DuplicateField,
    /// The message sets a field that only the worker may set.
    ReservedField,
    /// A field name contains a NUL, which BSON can't store.
    InvalidFieldName,
    /// A number can't be stored in BSON without changing it.
    UnsupportedNumber,
    /// The message has more than 100 levels of objects and arrays.
    NestingTooDeep,
    /// The document is larger than 16 MiB of BSON.
    DocumentTooLarge,
    /// The message breaks the JSON Schema that the configuration names.
    SchemaViolation,
    /// MongoDB refused this record.
    WriteRejected,
    /// MongoDB has a different document with this `_id`.
    IdConflict,
    /// MongoDB was unavailable, and the configuration says to redirect messages then.
    MongodbUnavailable,
}

impl Reason {
    pub const ALL: [Self; 15] = [
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
        Self::SchemaViolation,
        Self::WriteRejected,
        Self::IdConflict,
        Self::MongodbUnavailable,
    ];

    /// The stable snake_case code.
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
            Self::SchemaViolation => "schema_violation",
            Self::WriteRejected => "write_rejected",
            Self::IdConflict => "id_conflict",
            Self::MongodbUnavailable => "mongodb_unavailable",
        }
    }
}

impl Reason {
    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rejection: the reason, and the details that a person needs to find the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    /// The faulty field: a path such as `metadata.tags[3]`, bounded in length.
    pub field: Option<String>,
    /// A text for the header `dlq.error`, of limited length. Only the words of MongoDB about a record that it refused
    /// may quote a value of the message, so this text is never logged.
    pub error: String,
    /// MongoDB's error code, if MongoDB refused the record.
    pub code: Option<i32>,
}

impl Rejection {
    pub fn new(reason: Reason, error: impl Into<String>) -> Self {
        Self {
            reason,
            field: None,
            error: error.into(),
            code: None,
        }
    }

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
