//! How one batch is written to MongoDB, as a pure state machine. It names the next step, gets the result of that step,
//! and gives each document its verdict exactly once. No driver, no clock, no randomness.
//!
//! A document is identified by its index in the batch.

mod outcome;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::mem;

use verdict::{duplicate_verdict, rejected};

use super::evidence::InsertSpan;

pub use outcome::{ErrorSubject, InsertOutcome, Step, StoredDocument, Verdict, WriteError};

/// The state of one batch on its way into MongoDB.
///
/// The plan works in rounds. A round tries to insert every document that has no verdict, at first in one command.
/// A command that the server refuses as a whole may be split into halves, down to single documents. Documents that
/// have no verdict at the end of a round go into the next one.
///
/// A code that isn't in the table may be about the document or about the server. A document that was refused with
/// such a code is a *suspect*: from then on it is inserted in a command of its own. It is rejected when it is refused
/// again, and the server took another document, of any batch, between the two refusals.
#[derive(Debug)]
pub struct WritePlan {
    max_attempts: u32,
    attempts: u32,
    /// For each document, the number of inserts that it was part of.
    inserts: Vec<u32>,
    phase: Phase,
    /// What this round still has to insert. The last group is inserted next.
    groups: Vec<Vec<usize>>,
    /// Documents whose key exists already. They are read back at the end of the round.
    duplicates: Open,
    /// Documents for the next round.
    retry: Open,
    /// The suspects. An insert of which the server took a document is evidence against a suspect if its number is
    /// higher than the number here.
    suspects: BTreeMap<usize, u64>,
    /// The latest insert that is known here and of which the server took a document.
    latest_accepted: u64,
    verdicts: Vec<(usize, Verdict)>,
}

/// Documents without a verdict, each with its last error.
type Open = Vec<(usize, WriteError)>;

#[derive(Debug)]
enum Phase {
    Round,
    BackOff,
    Unavailable(WriteError),
    Stop(WriteError),
}

impl WritePlan {
    /// A plan for `documents`, given by their indexes. `max_attempts` is the number of rounds before MongoDB counts
    /// as unavailable; 0 counts as 1.
    pub fn new(documents: Vec<usize>, max_attempts: u32) -> Self {
        let mut plan = Self {
            max_attempts: max_attempts.max(1),
            attempts: 0,
            inserts: vec![0; documents.iter().max().map_or(0, |last| last + 1)],
            phase: Phase::Round,
            groups: Vec::new(),
            duplicates: Vec::new(),
            retry: Vec::new(),
            suspects: BTreeMap::new(),
            latest_accepted: 0,
            verdicts: Vec::new(),
        };
        plan.begin_round(documents);
        plan
    }

    pub fn step(&self) -> Step {
        match &self.phase {
            Phase::BackOff => Step::BackOff,
            Phase::Unavailable(error) => Step::Unavailable(error.clone()),
            Phase::Stop(error) => Step::Stop(error.clone()),
            Phase::Round => match self.groups.last().map(Vec::as_slice) {
                Some([index]) if self.suspects.contains_key(index) => Step::InsertSuspect(*index),
                Some(group) => Step::Insert(group.to_vec()),
                None if self.duplicates.is_empty() => Step::Done,
                None => Step::ReadBack(indexes(&self.duplicates).collect()),
            },
        }
    }

    /// The verdicts since the last call.
    pub fn take_verdicts(&mut self) -> Vec<(usize, Verdict)> {
        mem::take(&mut self.verdicts)
    }

    /// The number of rounds begun since the start or the last [`WritePlan::start_over`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The number of inserts that a document was part of, over all rounds.
    pub fn inserts_of(&self, index: usize) -> u32 {
        self.inserts.get(index).copied().unwrap_or(0)
    }

    /// The result of the insert that [`Step::Insert`] or [`Step::InsertSuspect`] asked for, and its place among the
    /// inserts of all writers.
    pub fn inserted(&mut self, outcome: InsertOutcome, span: InsertSpan) {
        let Some(group) = self.groups.pop() else {
            return;
        };
        for &index in &group {
            if let Some(inserts) = self.inserts.get_mut(index) {
                *inserts = inserts.saturating_add(1);
            }
        }
        self.latest_accepted = self.latest_accepted.max(span.accepted_before);
        if outcome.took_any(group.len()) {
            self.latest_accepted = self.latest_accepted.max(span.number);
        }
        match outcome {
            InsertOutcome::Answered(errors) => self.answered(&group, errors, span),
            InsertOutcome::Failed(error) => self.failed(group, error, span),
        }
        self.end_round_if_over();
    }

    /// What was found for the documents of [`Step::ReadBack`], in their order; or the error, if they could not be
    /// read.
    pub fn read_back(&mut self, found: Result<Vec<StoredDocument>, WriteError>) {
        let duplicates = mem::take(&mut self.duplicates);
        match found {
            Ok(found) => {
                let found = found
                    .into_iter()
                    .chain(std::iter::repeat(StoredDocument::Absent));
                for ((index, error), found) in duplicates.into_iter().zip(found) {
                    self.verdicts
                        .push((index, duplicate_verdict(found, &error)));
                }
            }
            Err(mut error) => {
                match error.subject {
                    ErrorSubject::Operator => self.phase = Phase::Stop(error.clone()),
                    ErrorSubject::Server | ErrorSubject::CredentialsAcceptedBefore => {}
                    // The query named several documents, so its error is not about one of them.
                    ErrorSubject::Duplicate | ErrorSubject::Record | ErrorSubject::Unknown => {
                        error.subject = ErrorSubject::Server;
                    }
                }
                // The next round inserts the duplicates again, and gets the same errors.
                for (index, _) in duplicates {
                    self.retry.push((index, error.clone()));
                }
            }
        }
        self.end_round_if_over();
    }

    /// The wait that [`Step::BackOff`] asked for is over.
    pub fn backed_off(&mut self) {
        if matches!(self.phase, Phase::BackOff) {
            let pending = self.pending();
            self.begin_round(pending);
        }
    }

    /// Gives all pending documents their full number of attempts again, after an outage or during it. The suspects
    /// stay suspects.
    pub fn start_over(&mut self) {
        self.attempts = 0;
        let pending = self.pending();
        self.begin_round(pending);
    }

    /// Makes the current round the last one before [`Step::Unavailable`]. During an outage one more error is enough.
    pub fn single_attempt(&mut self) {
        self.attempts = self.max_attempts;
    }

    /// Takes all pending documents out of the plan, because the caller settles them elsewhere.
    pub fn redirect(&mut self) -> Vec<usize> {
        let pending = self.pending();
        self.begin_round(Vec::new());
        pending
    }

    /// Takes the documents of the current [`Step::Insert`] or [`Step::InsertSuspect`] out of the plan, because the
    /// caller settles them elsewhere.
    pub fn redirect_next(&mut self) -> Vec<usize> {
        let group = self.groups.pop().unwrap_or_default();
        self.end_round_if_over();
        group
    }

    /// Takes the documents out of the plan for which `keep` is false: their partition went to another member.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for group in &mut self.groups {
            group.retain(|&index| keep(index));
        }
        self.groups.retain(|group| !group.is_empty());
        for open in [&mut self.duplicates, &mut self.retry] {
            open.retain(|(index, _)| keep(*index));
        }
        if self.pending().is_empty() {
            self.phase = Phase::Round;
        } else {
            self.end_round_if_over();
        }
    }

    /// The documents without a verdict, in ascending order.
    pub fn pending(&self) -> Vec<usize> {
        let open = [&self.duplicates, &self.retry];
        let mut pending: Vec<usize> = open
            .into_iter()
            .flat_map(indexes)
            .chain(self.groups.iter().flatten().copied())
            .collect();
        pending.sort_unstable();
        pending
    }

    /// The suspects come last, each in a group of its own: so they don't make the command of another document
    /// fail, and the other documents may be the evidence.
    fn begin_round(&mut self, documents: Vec<usize>) {
        self.phase = Phase::Round;
        self.duplicates.clear();
        self.retry.clear();
        self.groups.clear();
        if documents.is_empty() {
            return;
        }
        self.attempts += 1;
        let (suspects, others): (Vec<usize>, Vec<usize>) = documents
            .into_iter()
            .partition(|index| self.suspects.contains_key(index));
        self.insert_each_alone(suspects);
        if !others.is_empty() {
            self.groups.push(others);
        }
    }

    fn insert_each_alone(&mut self, documents: Vec<usize>) {
        self.groups
            .extend(documents.into_iter().rev().map(|index| vec![index]));
    }

    /// The server answered for each document of `group`.
    fn answered(&mut self, group: &[usize], errors: Vec<(usize, WriteError)>, span: InsertSpan) {
        let mut error_of: Vec<Option<WriteError>> = vec![None; group.len()];
        for (place, error) in errors {
            if let Some(slot) = error_of.get_mut(place) {
                *slot = Some(error);
            }
        }
        let is_accepted = |error: &Option<WriteError>| {
            error
                .as_ref()
                .is_none_or(|error| error.subject.is_known_verdict())
        };
        let last_accepted = error_of.iter().rposition(is_accepted);
        for (place, (&index, error)) in group.iter().zip(error_of).enumerate() {
            let Some(error) = error else {
                self.verdicts.push((index, Verdict::Stored));
                continue;
            };
            match error.subject {
                ErrorSubject::Duplicate => self.duplicates.push((index, error)),
                ErrorSubject::Record => self.verdicts.push((index, rejected(&error))),
                ErrorSubject::Server | ErrorSubject::CredentialsAcceptedBefore => {
                    self.retry.push((index, error));
                }
                ErrorSubject::Unknown => {
                    // The server works through a command in order. What it took after this refusal is evidence.
                    let took_later = last_accepted.is_some_and(|last| last > place);
                    let since = if took_later {
                        span.number - 1
                    } else {
                        span.begun_by_the_end
                    };
                    self.refused_alone(index, error, span.accepted_before, since);
                }
                ErrorSubject::Operator => {
                    self.phase = Phase::Stop(error.clone());
                    self.retry.push((index, error));
                }
            }
        }
    }

    /// The command failed as a whole: the server said nothing about single documents.
    fn failed(&mut self, group: Vec<usize>, error: WriteError, span: InsertSpan) {
        let attempts_left = self.attempts < self.max_attempts;
        match (error.subject, group.as_slice()) {
            (ErrorSubject::Record, &[index]) => self.verdicts.push((index, rejected(&error))),
            (ErrorSubject::Unknown, &[index]) => {
                self.refused_alone(index, error, span.accepted_before, span.begun_by_the_end);
            }
            // One document may be the cause.
            (ErrorSubject::Record, _) => self.groups.extend(halves(group)),
            (ErrorSubject::Unknown, _) if !attempts_left => self.groups.extend(halves(group)),
            (
                ErrorSubject::Server
                | ErrorSubject::CredentialsAcceptedBefore
                | ErrorSubject::Duplicate
                | ErrorSubject::Unknown,
                _,
            ) => self.retry_all(group, &error),
            (ErrorSubject::Operator, _) => {
                self.retry_all(group, &error);
                self.phase = Phase::Stop(error);
            }
        }
    }

    /// One document was refused with a code that isn't in the table, by an insert that began when `accepted_before` was
    /// the latest evidence. Evidence against the document are inserts with a number higher than `since`.
    fn refused_alone(&mut self, index: usize, error: WriteError, accepted_before: u64, since: u64) {
        let earlier = *self.suspects.entry(index).or_insert(since);
        let is_evident = earlier < accepted_before;
        if is_evident {
            self.verdicts.push((index, rejected(&error)));
        } else {
            self.retry.push((index, error));
        }
    }

    /// The rest of this round would fail for the same reason.
    fn retry_all(&mut self, group: Vec<usize>, error: &WriteError) {
        let unfinished = mem::take(&mut self.groups)
            .into_iter()
            .flatten()
            .chain(group);
        self.retry
            .extend(unfinished.map(|index| (index, error.clone())));
    }

    fn end_round_if_over(&mut self) {
        let running = matches!(self.phase, Phase::Round);
        if !running || !self.groups.is_empty() || !self.duplicates.is_empty() {
            return;
        }
        if self.retry.is_empty() {
            return;
        }
        if self.attempts < self.max_attempts {
            self.phase = Phase::BackOff;
            return;
        }
        // The attempts are used up. Where there is evidence already, the next refusal decides.
        let retry = mem::take(&mut self.retry);
        let (decidable, rest): (Open, Open) = retry.into_iter().partition(|(index, error)| {
            let since = self.suspects.get(index);
            error.subject == ErrorSubject::Unknown
                && since.is_some_and(|&since| since < self.latest_accepted)
        });
        self.retry = rest;
        self.insert_each_alone(indexes(&decidable).collect());
        if self.groups.is_empty() {
            // If one of the errors is certainly about the server, the server may be the cause of all of them.
            let certain = |error: &&WriteError| error.subject != ErrorSubject::Unknown;
            let errors = || self.retry.iter().map(|(_, error)| error);
            if let Some(error) = errors().find(certain).or_else(|| errors().next()).cloned() {
                self.phase = if error.subject == ErrorSubject::CredentialsAcceptedBefore {
                    Phase::Stop(error)
                } else {
                    Phase::Unavailable(error)
                };
            }
        }
    }
}

fn indexes(open: &Open) -> impl Iterator<Item = usize> {
    open.iter().map(|(index, _)| *index)
}

fn halves(mut group: Vec<usize>) -> [Vec<usize>; 2] {
    let second = group.split_off(group.len() / 2);
    // The last group is inserted next, so the first half goes first.
    [second, group]
}
