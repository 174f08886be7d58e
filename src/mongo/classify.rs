//! Classifies the driver's errors: is an error about a record, the server, or something that an operator
//! must fix? One table serves errors of whole commands and errors of single documents, because the server
//! can also be the cause of the latter. No other file inspects the driver's errors.

use std::io;

use mongodb::error::{
    Error, ErrorKind, IndexedWriteError, InsertManyError, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR,
    SYSTEM_OVERLOADED_ERROR,
};

use super::certificate;
use crate::core::write_plan::{ErrorSubject, InsertOutcome, WriteError};

/// Whether the command failed because the server doesn't support sessions.
pub(super) fn needs_no_session(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::SessionsNotSupported)
}

/// Whether the server, or the driver, refused the credentials.
pub(super) fn is_authentication_failure(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::Authentication { .. })
}

/// What is wrong with a certificate, if that is why a connection failed.
pub(super) fn certificate_fault(error: &Error) -> Option<String> {
    match error.kind.as_ref() {
        ErrorKind::Io(error) => certificate::fault(error).map(|fault| shortened(&fault)),
        _ => None,
    }
}

/// Whether the server accepted a connection and closed it before it said anything.
pub(super) fn is_closed_connection(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        ),
        _ => false,
    }
}

/// Whether the command had no connection to a server. Only the heartbeats say why.
pub(super) fn has_no_server(error: &Error) -> bool {
    matches!(
        *error.kind,
        ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. }
    )
}

/// What is wrong with a server's version, if the driver refuses it. It has no kind of its own for this error, so its words
/// decide; the driver's events say it too, but may come after the error.
pub(super) fn unfit_version(error: &Error) -> Option<String> {
    match error.kind.as_ref() {
        ErrorKind::ServerSelection { message, .. }
            if message.contains("wire version") && message.contains("MongoDB Rust driver") =>
        {
            Some(format!(
                "MongoDB has a version that this worker can't use: {message}"
            ))
        }
        _ => None,
    }
}

/// Whether the user lacks a privilege: `Unauthorized`.
pub(super) fn is_missing_privilege(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if command.code == 13)
}

/// The code in the server's answer to a command that isn't an insert, if it answered.
pub(super) fn code_of_command(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// Whether the DNS seed list of a `mongodb+srv` URI could not be looked up.
pub(super) fn is_dns_failure(error: &Error) -> bool {
    matches!(*error.kind, ErrorKind::DnsResolve { .. })
}

/// Why the server will never create an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexRefusal {
    /// The same fields have an index with other options: `IndexOptionsConflict`.
    OtherOptions,
    /// Another index has the name: `IndexKeySpecsConflict`.
    NameTaken,
    /// The collection has as many indexes as it may have, or the server can't make one of this kind: `CannotCreateIndex`.
    CannotCreate,
}

pub(super) fn index_refusal(error: &Error) -> Option<IndexRefusal> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => index_refusal_of_code(command.code),
        _ => None,
    }
}

fn index_refusal_of_code(code: i32) -> Option<IndexRefusal> {
    match code {
        85 => Some(IndexRefusal::OtherOptions),
        86 => Some(IndexRefusal::NameTaken),
        67 => Some(IndexRefusal::CannotCreate),
        _ => None,
    }
}

impl IndexRefusal {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::OtherOptions => "its fields have an index with other options or of another name",
            Self::NameTaken => "its name belongs to another index",
            Self::CannotCreate => {
                "the server takes no further index in this collection, or none of this kind"
            }
        }
    }
}

/// Whether the collection doesn't exist: `NamespaceNotFound`.
pub(super) fn is_missing_collection(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Command(command) if command.code == 26)
}

/// What a failed insert means for its documents.
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
        subject: subject_of_code(error.code, error.code_name.as_deref()),
        code: Some(error.code),
        message: shortened(&error.message),
        summary: summary(error.code, error.code_name.as_deref()),
    }
}

/// The server doesn't say it in words that are fit for the log.
const DATABASE_IN_ANOTHER_CASE: i32 = 13297;

/// The error's code and name. The server's message is left out because it may quote a document.
fn summary(code: i32, name: Option<&str>) -> String {
    if code == DATABASE_IN_ANOTHER_CASE {
        return format!(
            "a database exists whose name differs from `mongodb.database` in upper and lower case only: set that key to \
             its name (the server answered with code {code})"
        );
    }
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("the server answered {name} ({code})"),
        None => format!("the server answered with code {code}"),
    }
}

/// What an operator must mend, as an error.
pub(super) fn operator_fault(fault: String) -> WriteError {
    WriteError {
        subject: ErrorSubject::Operator,
        code: None,
        message: fault.clone(),
        summary: fault,
    }
}

/// Classifies an error of a whole command.
pub(super) fn write_error(error: &Error) -> WriteError {
    // The driver labels every failed connection as one to try again.
    if let Some(fault) = certificate_fault(error) {
        return operator_fault(fault);
    }
    let is_transient = [
        RETRYABLE_WRITE_ERROR,
        RETRYABLE_ERROR,
        SYSTEM_OVERLOADED_ERROR,
    ]
    .iter()
    .any(|label| error.contains_label(label));
    let (subject, answer, message) = match error.kind.as_ref() {
        ErrorKind::Command(command) => (
            subject_of_command_code(command.code, &command.code_name),
            Some((command.code, command.code_name.as_str())),
            command.message.clone(),
        ),
        ErrorKind::InsertMany(InsertManyError {
            write_concern_error: Some(refused),
            ..
        }) => {
            // The documents may be stored, but not as durably as the write concern demands. So none of
            // them is settled.
            let subject = match subject_of_code(refused.code, Some(&refused.code_name)) {
                ErrorSubject::Operator => ErrorSubject::Operator,
                _ => ErrorSubject::Server,
            };
            let message = format!("write concern not satisfied: {}", refused.message);
            let answer = (refused.code, refused.code_name.as_str());
            (subject, Some(answer), message)
        }
        ErrorKind::Authentication { .. } => {
            let subject = match refused_authentication(error) {
                Some((code, name)) => subject_of_authentication_code(code, &name),
                None => ErrorSubject::Operator,
            };
            (subject, None, driver_text(error))
        }
        kind => (subject_of_kind(kind), None, driver_text(error)),
    };
    let subject = if is_transient {
        ErrorSubject::Server
    } else {
        subject
    };
    WriteError {
        subject,
        code: answer.map(|(code, _)| code),
        summary: answer.map_or_else(
            || shortened(&message),
            |(code, name)| summary(code, Some(name)),
        ),
        message: shortened(&message),
    }
}

/// The driver's own words about an error that isn't an answer of the server. They never quote a document. The whole
/// error isn't printed: it has the server's last reply.
fn driver_text(error: &Error) -> String {
    let kind = error.kind.as_ref();
    match kind {
        ErrorKind::Authentication { .. } => match refused_authentication(error) {
            Some((code, name)) => format!("{kind}: {}", summary(code, Some(&name))),
            None => kind.to_string(),
        },
        ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::SessionsNotSupported
        | ErrorKind::Shutdown => kind.to_string(),
        // The words would quote what could not be read.
        ErrorKind::Bson(_)
        | ErrorKind::BsonDeserialization(_)
        | ErrorKind::BsonSerialization(_)
        | ErrorKind::InvalidResponse { .. } => {
            "the driver could not read the server's answer".to_owned()
        }
        // None of these is expected from the worker's commands.
        _ => "the driver failed for an unexpected reason".to_owned(),
    }
}

/// The most characters of a text that comes from the server or the driver.
const LONGEST_TEXT: usize = 1000;

/// The server may quote a whole document, and the driver describes every server of a deployment.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.to_owned(),
        Some(_) => text.chars().take(LONGEST_TEXT - 1).chain(['…']).collect(),
    }
}

/// The server's answer to an authentication, if the driver kept it as the error's source.
fn refused_authentication(error: &Error) -> Option<(i32, String)> {
    let source = std::error::Error::source(error)?;
    // The driver keeps the source in a box.
    let source = match source.downcast_ref::<Box<Error>>() {
        Some(boxed) => boxed,
        None => source.downcast_ref::<Error>()?,
    };
    match source.kind.as_ref() {
        ErrorKind::Command(command) => Some((command.code, command.code_name.clone())),
        _ => None,
    }
}

/// Whether the server or the credentials are the cause: a server that shuts down, and a mongos that reaches no config
/// server, refuse an authentication too.
fn subject_of_authentication_code(code: i32, name: &str) -> ErrorSubject {
    match subject_of_code(code, Some(name)) {
        ErrorSubject::Server => ErrorSubject::Server,
        _ => ErrorSubject::Operator,
    }
}

/// Classifies the error code of a whole command. Only few codes are certainly about a document then: a
/// standalone server, for example, answers `BadValue` to `w: 2`.
fn subject_of_command_code(code: i32, name: &str) -> ErrorSubject {
    match subject_of_code(code, Some(name)) {
        ErrorSubject::Record if !ABOUT_A_DOCUMENT.contains(&code) => ErrorSubject::Unknown,
        subject => subject,
    }
}

/// `Overflow` (nesting too deep), `InvalidBSON`, `BSONObjectTooLarge` and its older codes.
const ABOUT_A_DOCUMENT: [i32; 5] = [15, 22, 10334, 17419, 17420];

fn subject_of_kind(kind: &ErrorKind) -> ErrorSubject {
    match kind {
        ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported => ErrorSubject::Operator,
        // The driver refuses the whole insert if one document is too large.
        ErrorKind::InvalidArgument { .. } => ErrorSubject::Record,
        _ => ErrorSubject::Server,
    }
}

/// The table: classifies one of the server's error codes by its meaning in the server's `error_codes.yml`. The server's
/// name for the code matters only where others than MongoDB use the same number.
fn subject_of_code(code: i32, name: Option<&str>) -> ErrorSubject {
    match code {
        // DuplicateKey and its older codes.
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
        // AuthenticationRestrictionUnmet, APIVersionError, APIStrictError, MechanismUnavailable,
        // DatabaseDifferCase.
        11 | 13 | 18 | 20 | 59 | 73 | 79 | 115 | 166 | 214 | 322 | 323 | 334
        | DATABASE_IN_ANOTHER_CASE => {
            ErrorSubject::Operator
        }
        // Network and name lookup, connections, shutdown.
        6 | 7 | 89 | 91 | 145 | 172 | 279 | 303 | 317 | 333 | 372 | 384 | 398 | 407 | 9001
        // Elections, replication and write concern, interruptions, time limits.
        | 64 | 74 | 82 | 94 | 100 | 109 | 133 | 134 | 149 | 189 | 199 | 216 | 10058 | 10107 | 13435 | 13436
        | 11600 | 11601 | 11602 | 46841 | 50 | 202 | 262 | 290 | 355 | 10_045_600
        // Locks, write conflicts, snapshots, cursors, sessions and transactions.
        | 24 | 46 | 107 | 112 | 117 | 208 | 43 | 237 | 239 | 246 | 314 | 225 | 261 | 267 | 281 | 282 | 363
        // Namespaces and indexes that are being dropped, built or moved; background operations.
        | 26 | 215 | 276 | 285 | 12586 | 12587
        // Stale routing, migrations, resharding, config servers.
        | 63 | 70 | 150 | 203 | 249 | 272 | 319 | 338 | 342 | 343 | 406 | 412 | 453 | 13388 | 56846 | 91331
        // Limits of memory, files and requests, disk and quota, blocked writes.
        | 39 | 42 | 146 | 264 | 301 | 364 | 365 | 371 | 391 | 402 | 433 | 449 | 450 | 462 | 14031
        // TooManyRequests of Azure Cosmos DB.
        | 16500 => ErrorSubject::Server,
        // The proxy of MongoDB Atlas uses this number for many errors, and this name.
        8000 if name == Some("AtlasError") => ErrorSubject::Server,
        _ => ErrorSubject::Unknown,
    }
}

#[cfg(test)]
mod tests;
