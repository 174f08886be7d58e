//! The types that the write plan and its caller exchange: the next step, the result of a step, and the verdict on a
//! document.

use crate::core::rejection::Rejection;

/// An error of MongoDB, or of the connection to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    pub subject: ErrorSubject,
    /// The server's error code, if the server answered.
    pub code: Option<i32>,
    /// The error's text, of limited length. The server's words may quote a document.
    pub message: String,
    /// A text for a log line, of limited length. It never contains a part of a document.
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
    /// The server answered with a code that isn't in the table. It counts as the server's fault, unless the server
    /// takes other documents between two refusals of the same one.
    Unknown,
    /// Credentials or a certificate were refused that were accepted before. The server may be the cause for a short time. So
    /// the insert is tried again, and after the last attempt the operator's settings count as the cause.
    CredentialsAcceptedBefore,
    /// The operator's settings: credentials, certificates, privileges, a collection that can't take documents.
    Operator,
}

impl ErrorSubject {
    /// Whether the error is certainly about one document. Such an error also shows that the server works.
    pub(super) fn is_known_verdict(self) -> bool {
        match self {
            Self::Duplicate | Self::Record => true,
            Self::Server | Self::Unknown | Self::CredentialsAcceptedBefore | Self::Operator => {
                false
            }
        }
    }
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
    /// Whether this outcome of inserting `documents` proves that MongoDB takes writes: the server stored a document
    /// or refused one for a reason that is certainly about that document, and no document failed because of the server
    /// or the settings.
    pub fn proves_availability(&self, documents: usize) -> bool {
        let Self::Answered(errors) = self else {
            return false;
        };
        let failed = [ErrorSubject::Server, ErrorSubject::Operator];
        self.took_any(documents)
            && !errors
                .iter()
                .any(|(_, error)| failed.contains(&error.subject))
    }

    /// Whether the server stored one of the `documents` inserted, or refused one for a reason that is certainly about
    /// that document.
    pub fn took_any(&self, documents: usize) -> bool {
        match self {
            Self::Answered(errors) => {
                errors.len() < documents
                    || errors
                        .iter()
                        .any(|(_, error)| error.subject.is_known_verdict())
            }
            Self::Failed(_) => false,
        }
    }
}

/// What MongoDB holds under the `_id` of a document that was refused as a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDocument {
    /// The same document, apart from `received_at`.
    Same,
    /// A different document.
    Different,
    /// A document whose `_id` is another text, which the collection's collation takes for the same one.
    EqualId,
    /// No document: the duplicate key is in another unique index.
    Absent,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Insert these, unordered; then [`super::WritePlan::inserted`].
    Insert(Vec<usize>),
    /// Insert this one alone: it was refused before, for an unknown reason. Then [`super::WritePlan::inserted`].
    InsertSuspect(usize),
    /// Read back what is under the `_id`s of these; then [`super::WritePlan::read_back`].
    ReadBack(Vec<usize>),
    /// Wait before the next attempt; then [`super::WritePlan::backed_off`].
    BackOff,
    /// The attempts are used up. If the error's subject is [`ErrorSubject::Unknown`], every pending document is a
    /// suspect, and it isn't known whether the server is the cause; otherwise it is. Then
    /// [`super::WritePlan::start_over`].
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
