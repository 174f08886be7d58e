//! What the plan asks for, what it is told, and what it says of a document.

use crate::core::rejection::Rejection;

/// What the server, or the way to it, had to say about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub judgement: Judgement,
    /// The server's error code, where there was an answer.
    pub code: Option<i32>,
    /// What was said; the server's words may quote a document.
    pub message: String,
    /// The same for a log line: never a part of a document.
    pub summary: String,
}

/// Whom a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Another document holds this key: only a look at it tells a replay from a conflict.
    Duplicate,
    /// This record, whatever the server's state.
    Record,
    /// The server or the network: the same again may succeed.
    Server,
    /// An answer with a code that isn't in the table: the server's, until it turns out to single out
    /// one record.
    Unknown,
    /// Us: credentials, privileges, a target that can't take documents.
    Operator,
}

/// What came of one unordered insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertOutcome {
    /// Acknowledged under the write concern, but for these: the place in the list that was inserted,
    /// and what was wrong with it.
    Answered(Vec<(usize, Failure)>),
    /// Nothing is known of any document.
    Failed(Failure),
}

/// What MongoDB holds under the `_id` of a document whose key was a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The same document, apart from `received_at`.
    Same,
    /// Another one.
    Other,
    /// None: the duplicate is in another unique index.
    Nothing,
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
    /// The attempts are used up, and it is the server's doing. Then [`super::WritePlan::start_over`], or
    /// [`super::WritePlan::redirect`].
    Unavailable(Failure),
    /// No batch can succeed until an operator acts.
    Stop(Failure),
    /// Every document has its verdict.
    Done,
}

/// What became of one document, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Stored,
    /// It was there already, the same.
    Replayed,
    /// To the dead letter topic.
    Rejected(Rejection),
}
