//! The words of the write plan: what it asks for, what it is told, and its verdict on a document.

use crate::core::rejection::Rejection;

/// An error of MongoDB, or of the connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    pub subject: ErrorSubject,
    /// The server's error code, if the server answered.
    pub code: Option<i32>,
    /// The error's text. The server's words may quote a document.
    pub message: String,
    /// A text for a log line, which never contains a part of a document.
    pub summary: String,
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorSubject {
    /// Another document has the same key. Only reading that document tells whether it is the same message.
    Duplicate,
    /// This record, whatever the server's state.
    Record,
    /// The server or the network: the same insert may succeed later.
    Server,
    /// The server answered with a code that isn't in the table. It counts as the server's fault until it
    /// singles out one record.
    Unknown,
    /// The operator's settings: credentials, privileges, a collection that can't take documents.
    Operator,
}

/// The outcome of one unordered insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertOutcome {
    /// All documents are acknowledged under the write concern, except these: each with its index in the
    /// list that was inserted, and its error.
    Answered(Vec<(usize, WriteError)>),
    /// The insert failed as a whole: nothing is known about any document.
    Failed(WriteError),
}

impl InsertOutcome {
    /// Whether this outcome of inserting `documents` proves that MongoDB takes writes: the server took
    /// documents or judged some by themselves, and none failed because of the server or the settings.
    pub fn proves_availability(&self, documents: usize) -> bool {
        let Self::Answered(errors) = self else {
            return false;
        };
        let any = |subjects: [ErrorSubject; 2]| {
            errors
                .iter()
                .any(|(_, error)| subjects.contains(&error.subject))
        };
        let took_some = errors.len() < documents;
        !any([ErrorSubject::Server, ErrorSubject::Operator])
            && (took_some || any([ErrorSubject::Duplicate, ErrorSubject::Record]))
    }
}

/// What MongoDB holds under the `_id` of a document that was refused as a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDocument {
    /// The same document, apart from `received_at`.
    Same,
    /// A different document.
    Different,
    /// No document: the duplicate key is in another unique index.
    Absent,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Insert these, unordered; then [`super::WritePlan::inserted`].
    Insert(Vec<usize>),
    /// Read back what is under the `_id`s of these; then [`super::WritePlan::read_back`].
    ReadBack(Vec<usize>),
    /// Wait before the next attempt; then [`super::WritePlan::backed_off`].
    BackOff,
    /// The attempts are used up, and the server is the cause. Then [`super::WritePlan::start_over`], or
    /// [`super::WritePlan::redirect`].
    Unavailable(WriteError),
    /// No batch can succeed until an operator acts.
    Stop(WriteError),
    /// Every document has its verdict.
    Done,
}

/// The final result for one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Stored,
    /// MongoDB already held the same document.
    AlreadyStored,
    /// The record goes to the dead letter topic.
    Rejected(Rejection),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(subject: ErrorSubject) -> WriteError {
        WriteError {
            subject,
            code: None,
            message: String::new(),
            summary: String::new(),
        }
    }

    #[test]
    fn only_an_answer_without_server_errors_proves_that_mongodb_takes_writes() {
        use ErrorSubject::{Duplicate, Operator, Record, Server, Unknown};
        for (subjects, documents, expected) in [
            (vec![], 2, true),
            (vec![Duplicate, Record], 2, true),
            (vec![Unknown], 2, true),
            (vec![Unknown, Unknown], 2, false),
            (vec![Unknown, Duplicate], 2, true),
            (vec![Server], 2, false),
            (vec![Duplicate, Server], 3, false),
            (vec![Operator], 2, false),
        ] {
            let errors = subjects.iter().map(|&subject| error(subject)).enumerate();
            let outcome = InsertOutcome::Answered(errors.collect());
            assert_eq!(
                outcome.proves_availability(documents),
                expected,
                "{subjects:?} of {documents}"
            );
        }
        assert!(!InsertOutcome::Failed(error(Record)).proves_availability(1));
    }
}
