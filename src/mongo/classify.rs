//! Whom a driver error is about: one table for command errors and for per-document errors, since the
//! latter may be the server's as well. Nothing else looks into driver errors.

use mongodb::error::{
    Error, ErrorKind, IndexedWriteError, InsertManyError, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR,
    SYSTEM_OVERLOADED_ERROR,
};

use crate::core::write_plan::{ErrorSubject, InsertOutcome, WriteError};

/// Whether the server knows no sessions, and the driver was given one.
pub(super) fn needs_no_session(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::SessionsNotSupported)
}

/// What a failed insert says of its documents.
pub(super) fn insert_outcome(error: &Error) -> InsertOutcome {
    if let ErrorKind::InsertMany(InsertManyError {
        write_errors: Some(write_errors),
        write_concern_error: None,
        ..
    }) = error.kind.as_ref()
    {
        let failures = write_errors
            .iter()
            .map(|error| (error.index, document_error(error)));
        return InsertOutcome::Answered(failures.collect());
    }
    InsertOutcome::Failed(write_error(error))
}

fn document_error(error: &IndexedWriteError) -> WriteError {
    WriteError {
        subject: subject_of_code(error.code),
        code: Some(error.code),
        message: error.message.clone(),
        summary: summary(error.code, error.code_name.as_deref()),
    }
}

/// The code and its name: the server's own words may quote a document.
fn summary(code: i32, name: Option<&str>) -> String {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("the server answered {name} ({code})"),
        None => format!("the server answered with code {code}"),
    }
}

/// What an error says as a whole.
pub(super) fn write_error(error: &Error) -> WriteError {
    let is_transient = [
        RETRYABLE_WRITE_ERROR,
        RETRYABLE_ERROR,
        SYSTEM_OVERLOADED_ERROR,
    ]
    .iter()
    .any(|label| error.contains_label(label));
    let (subject, answer, message) = match error.kind.as_ref() {
        ErrorKind::Command(command) => (
            subject_of_command_code(command.code),
            Some((command.code, command.code_name.as_str())),
            command.message.clone(),
        ),
        ErrorKind::InsertMany(InsertManyError {
            write_concern_error: Some(refused),
            ..
        }) => {
            // The documents may be there, but not as safely as was asked for: nothing is settled.
            let subject = match subject_of_code(refused.code) {
                ErrorSubject::Operator => ErrorSubject::Operator,
                _ => ErrorSubject::Server,
            };
            let message = format!("write concern not satisfied: {}", refused.message);
            let answer = (refused.code, refused.code_name.as_str());
            (subject, Some(answer), message)
        }
        kind => (subject_of_kind(kind), None, error.to_string()),
    };
    let subject = if is_transient {
        ErrorSubject::Server
    } else {
        subject
    };
    WriteError {
        subject,
        code: answer.map(|(code, _)| code),
        // Without an answer, the text is the driver's, about the way to the server.
        summary: answer.map_or_else(|| message.clone(), |(code, name)| summary(code, Some(name))),
        message,
    }
}

/// A refusal of the whole command: few codes are certainly about a document then. `BadValue` is what a
/// standalone says of `w: 2`, too.
fn subject_of_command_code(code: i32) -> ErrorSubject {
    match subject_of_code(code) {
        ErrorSubject::Record if !ABOUT_A_DOCUMENT.contains(&code) => ErrorSubject::Unknown,
        subject => subject,
    }
}

/// Overflow (nesting), `InvalidBSON`, `BSONObjectTooLarge` and its older forms.
const ABOUT_A_DOCUMENT: [i32; 5] = [15, 22, 10334, 17419, 17420];

fn subject_of_kind(kind: &ErrorKind) -> ErrorSubject {
    match kind {
        ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported => ErrorSubject::Operator,
        // The driver refuses a document that is too large, and with it the whole insert.
        ErrorKind::InvalidArgument { .. } => ErrorSubject::Record,
        _ => ErrorSubject::Server,
    }
}

/// The server's error codes, by their meaning in its `error_codes.yml`.
fn subject_of_code(code: i32) -> ErrorSubject {
    match code {
        // DuplicateKey, and its older forms.
        11000 | 11001 | 12582 => ErrorSubject::Duplicate,
        // BadValue, FailedToParse, TypeMismatch, Overflow, InvalidLength, InvalidBSON,
        // DollarPrefixedFieldName, InvalidIdField, NotSingleValueField, InvalidDBRef,
        // EmptyFieldName, DottedFieldName, ShardKeyNotFound, DocumentValidationFailure,
        // CannotIndexParallelArrays, a hashed index on an array, points out of a 2d index's bounds,
        // BSONObjectTooLarge (and older forms), KeyTooLong, geo and text keys that can't be extracted.
        2 | 9 | 14 | 15 | 16 | 22 | 52 | 53 | 54 | 55 | 56 | 57 | 61 | 121 | 171 | 10334
        | 13026 | 13027 | 13068 | 16755 | 16756 | 16766 | 17261 | 17262 | 17280 | 17419 | 17420 => {
            ErrorSubject::Record
        }
        // Unauthorized, AuthenticationFailed, UserNotFound, IllegalOperation, CommandNotFound,
        // InvalidNamespace, UnknownReplWriteConcern, CommandNotSupported, CommandNotSupportedOnView,
        // CollectionIsSharded views and time-series refusals, APIVersionError, APIStrictError.
        13 | 18 | 11 | 20 | 59 | 73 | 79 | 115 | 166 | 322 | 323 => ErrorSubject::Operator,
        // Network, shutdown, elections, interruptions, time limits, locks, write conflicts, write
        // concern, stale routing, migrations, limits of memory, files and locks, disk and quota.
        6 | 7 | 24 | 43 | 46 | 50 | 63 | 64 | 70 | 74 | 82 | 89 | 91 | 100 | 112 | 117 | 133
        | 134 | 146 | 150 | 189 | 202 | 208 | 216 | 225 | 234 | 239 | 246 | 261 | 262 | 264
        | 267 | 272 | 276 | 314 | 317 | 364 | 365 | 371 | 384 | 391 | 402 | 8000 | 9001 | 10107
        | 11600 | 11601 | 11602 | 13388 | 13435 | 13436 | 14031 => ErrorSubject::Server,
        _ => ErrorSubject::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_judged_by_whom_they_are_about() {
        let table = [
            (11000, ErrorSubject::Duplicate),
            (121, ErrorSubject::Record),
            (10334, ErrorSubject::Record),
            (22, ErrorSubject::Record),
            (2, ErrorSubject::Record),
            (13, ErrorSubject::Operator),
            (18, ErrorSubject::Operator),
            (73, ErrorSubject::Operator),
            (91, ErrorSubject::Server),
            (189, ErrorSubject::Server),
            (10107, ErrorSubject::Server),
            (11600, ErrorSubject::Server),
            (14031, ErrorSubject::Server),
            (64, ErrorSubject::Server),
            (1, ErrorSubject::Unknown),
            (96, ErrorSubject::Unknown),
        ];
        for (code, expected) in table {
            assert_eq!(subject_of_code(code), expected, "code {code}");
        }
        assert_eq!(
            subject_of_command_code(2),
            ErrorSubject::Unknown,
            "`w: 2` on a standalone"
        );
        assert_eq!(subject_of_command_code(22), ErrorSubject::Record);
        assert_eq!(subject_of_command_code(13), ErrorSubject::Operator);
    }
}
