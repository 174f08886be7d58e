//! Writing one batch as a pure step machine: it says what to do next, is told what came of it, and
//! gives each document its verdict exactly once. No driver, no clock, no randomness.
//!
//! Documents are known by their index in the batch.

mod outcome;
#[cfg(test)]
mod tests;

use std::mem;

use super::rejection::{Reason, Rejection};

pub use outcome::{ErrorSubject, InsertOutcome, Step, StoredDocument, Verdict, WriteError};

/// The state of one batch on its way into MongoDB.
///
/// It goes in rounds, each an attempt to insert all that is pending: in one go, and where a command
/// was refused as a whole, in halves, down to the single document. What a round leaves open goes into
/// the next one.
#[derive(Debug)]
pub struct WritePlan {
    max_attempts: u32,
    attempts: u32,
    phase: Phase,
    /// What this round still has to insert; the last group is next.
    groups: Vec<Vec<usize>>,
    /// Whose key was there already: read back at the end of the round.
    duplicates: Open,
    /// Refused each on its own.
    refused: Open,
    /// For the next round, and why.
    retry: Open,
    /// Whether the server took, or judged by itself, any document of this batch.
    accepted: bool,
    /// The single documents that were refused for an unknown reason have had, or have now, their second
    /// chance.
    is_confirming: bool,
    verdicts: Vec<(usize, Verdict)>,
}

/// Documents without a verdict, with what stands against them.
type Open = Vec<(usize, WriteError)>;

#[derive(Debug)]
enum Phase {
    Round,
    BackOff,
    Unavailable(WriteError),
    Stop(WriteError),
}

impl WritePlan {
    /// A plan for `documents` (by index), each attempt being one insert; `max_attempts` of at least 1.
    pub fn new(documents: Vec<usize>, max_attempts: u32) -> Self {
        let mut plan = Self {
            max_attempts: max_attempts.max(1),
            attempts: 0,
            phase: Phase::Round,
            groups: Vec::new(),
            duplicates: Vec::new(),
            refused: Vec::new(),
            retry: Vec::new(),
            accepted: false,
            is_confirming: false,
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
            Phase::Round => match self.groups.last() {
                Some(group) => Step::Insert(group.clone()),
                None if self.duplicates.is_empty() => Step::Done,
                None => Step::ReadBack(indexes(&self.duplicates).collect()),
            },
        }
    }

    /// The verdicts since the last call, each document's once in all.
    pub fn take_verdicts(&mut self) -> Vec<(usize, Verdict)> {
        mem::take(&mut self.verdicts)
    }

    /// Rounds begun so far, since the start or the last [`WritePlan::start_over`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What came of the insert that [`Step::Insert`] asked for.
    pub fn inserted(&mut self, outcome: InsertOutcome) {
        let Some(group) = self.groups.pop() else {
            return;
        };
        match outcome {
            InsertOutcome::Answered(errors) => self.answered(&group, errors),
            InsertOutcome::Failed(error) => self.failed(group, error),
        }
        self.end_round_if_over();
    }

    /// What was found for the documents of [`Step::ReadBack`], in their order; an error means that the
    /// look itself failed.
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
            Err(error) => {
                // The next round inserts the duplicates too, and tells them apart afresh.
                for (index, _) in duplicates {
                    self.retry.push((index, error.clone()));
                }
                if error.subject == ErrorSubject::Operator {
                    self.phase = Phase::Stop(error);
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

    /// Begins all pending documents' attempts afresh, after an outage or while it lasts.
    pub fn start_over(&mut self) {
        self.attempts = 0;
        self.accepted = false;
        let pending = self.pending();
        self.begin_round(pending);
    }

    /// Lets this round be the last before [`Step::Unavailable`]: while MongoDB is unavailable, one
    /// error more says enough.
    pub fn single_attempt(&mut self) {
        self.attempts = self.max_attempts;
    }

    /// Takes all pending documents out of the plan: the caller settles them elsewhere.
    pub fn redirect(&mut self) -> Vec<usize> {
        let pending = self.pending();
        self.begin_round(Vec::new());
        pending
    }

    /// Takes the documents for which `keep` is false out of the plan: they are no longer ours. Nothing
    /// else changes.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for group in &mut self.groups {
            group.retain(|&index| keep(index));
        }
        self.groups.retain(|group| !group.is_empty());
        for open in [&mut self.duplicates, &mut self.refused, &mut self.retry] {
            open.retain(|(index, _)| keep(*index));
        }
        if self.pending().is_empty() {
            self.phase = Phase::Round;
        } else {
            self.end_round_if_over();
        }
    }

    /// The documents without a verdict, ascending.
    pub fn pending(&self) -> Vec<usize> {
        let open = [&self.duplicates, &self.refused, &self.retry];
        let mut pending: Vec<usize> = open
            .into_iter()
            .flat_map(indexes)
            .chain(self.groups.iter().flatten().copied())
            .collect();
        pending.sort_unstable();
        pending
    }

    fn begin_round(&mut self, documents: Vec<usize>) {
        self.phase = Phase::Round;
        self.duplicates.clear();
        self.refused.clear();
        self.retry.clear();
        self.groups.clear();
        self.is_confirming = false;
        if !documents.is_empty() {
            self.attempts += 1;
            self.groups.push(documents);
        }
    }

    /// The server answered for each document of `group`.
    fn answered(&mut self, group: &[usize], errors: Vec<(usize, WriteError)>) {
        let mut error_of: Vec<Option<WriteError>> = vec![None; group.len()];
        for (place, error) in errors {
            if let Some(slot) = error_of.get_mut(place) {
                *slot = Some(error);
            }
        }
        for (&index, error) in group.iter().zip(error_of) {
            let Some(error) = error else {
                self.accepted = true;
                self.verdicts.push((index, Verdict::Stored));
                continue;
            };
            match error.subject {
                ErrorSubject::Duplicate => {
                    self.accepted = true;
                    self.duplicates.push((index, error));
                }
                ErrorSubject::Record => {
                    self.accepted = true;
                    self.verdicts.push((index, rejected(&error)));
                }
                ErrorSubject::Server | ErrorSubject::Unknown => self.retry.push((index, error)),
                ErrorSubject::Operator => {
                    self.phase = Phase::Stop(error.clone());
                    self.retry.push((index, error));
                }
            }
        }
    }

    /// Nothing is known of any document of `group`.
    fn failed(&mut self, group: Vec<usize>, error: WriteError) {
        let attempts_left = self.attempts < self.max_attempts;
        match error.subject {
            ErrorSubject::Record | ErrorSubject::Unknown
                if group.len() > 1 && (error.subject == ErrorSubject::Record || !attempts_left) =>
            {
                // The command was refused as a whole: one record may be the cause.
                self.groups.extend(halves(group));
            }
            ErrorSubject::Record => self.refuse(group, &error),
            ErrorSubject::Unknown if !attempts_left => self.refuse(group, &error),
            ErrorSubject::Server | ErrorSubject::Duplicate | ErrorSubject::Unknown => {
                // Whatever this round has left would fare no better.
                self.retry_all(group, &error);
            }
            ErrorSubject::Operator => {
                self.retry_all(group, &error);
                self.phase = Phase::Stop(error);
            }
        }
    }

    fn refuse(&mut self, group: Vec<usize>, error: &WriteError) {
        self.refused
            .extend(group.into_iter().map(|index| (index, error.clone())));
    }

    fn retry_all(&mut self, group: Vec<usize>, error: &WriteError) {
        let unfinished = mem::take(&mut self.groups)
            .into_iter()
            .flatten()
            .chain(group);
        self.retry
            .extend(unfinished.map(|index| (index, error.clone())));
        if !self.accepted {
            // Too early to say whom their refusal is about.
            self.retry.append(&mut self.refused);
        }
    }

    fn end_round_if_over(&mut self) {
        let running = matches!(self.phase, Phase::Round);
        if !running || !self.groups.is_empty() || !self.duplicates.is_empty() {
            return;
        }
        if let Some(error) = self.refused_by_the_server() {
            self.phase = Phase::Unavailable(error);
            return;
        }
        if self.confirm_unknown_refusals() {
            return;
        }
        for (index, error) in mem::take(&mut self.refused) {
            self.verdicts.push((index, rejected(&error)));
        }
        if self.retry.is_empty() {
            return;
        }
        if self.attempts < self.max_attempts {
            self.phase = Phase::BackOff;
            return;
        }
        // The attempts are used up. Where the server took other documents of this batch, or told them
        // apart, what it refuses again and again for a reason outside the table is about these records.
        let tells_apart = self.accepted || !self.refuses_all_alike();
        let (singled_out, rest): (Open, Open) = mem::take(&mut self.retry)
            .into_iter()
            .partition(|(_, error)| tells_apart && error.subject == ErrorSubject::Unknown);
        for (index, error) in singled_out {
            self.verdicts.push((index, rejected(&error)));
        }
        self.retry = rest;
        if let Some((_, error)) = self.retry.first() {
            self.phase = Phase::Unavailable(error.clone());
        }
    }

    /// Whether the answer for each of several documents was the same refusal.
    fn refuses_all_alike(&self) -> bool {
        self.retry.len() > 1
            && self
                .retry
                .iter()
                .all(|(_, error)| error.code == self.retry[0].1.code)
    }

    /// A refusal for an unknown reason says something of a document only if the server takes others at
    /// that time: a fault of the server that passed while its culprit was sought would single out whoever
    /// came first. So each gets a second chance, alone, now that the server has taken others. Says whether
    /// there is one to give.
    fn confirm_unknown_refusals(&mut self) -> bool {
        if !self.accepted || self.is_confirming {
            return false;
        }
        self.is_confirming = true;
        let (unknown, known): (Open, Open) = mem::take(&mut self.refused)
            .into_iter()
            .partition(|(_, error)| error.subject == ErrorSubject::Unknown);
        self.refused = known;
        self.groups
            .extend(unknown.iter().rev().map(|(index, _)| vec![*index]));
        !self.groups.is_empty()
    }

    /// Where every single document was refused, and alike, it is the server's doing.
    fn refused_by_the_server(&self) -> Option<WriteError> {
        let (_, first) = self.refused.first()?;
        let alike = self
            .refused
            .iter()
            .all(|(_, error)| error.code == first.code);
        let telling = self.refused.len() > 1 || first.subject == ErrorSubject::Unknown;
        (!self.accepted && self.retry.is_empty() && alike && telling).then(|| first.clone())
    }
}

fn indexes(open: &Open) -> impl Iterator<Item = usize> {
    open.iter().map(|(index, _)| *index)
}

fn halves(mut group: Vec<usize>) -> [Vec<usize>; 2] {
    let second = group.split_off(group.len() / 2);
    // The last group is next: the first half goes first.
    [second, group]
}

fn duplicate_verdict(found: StoredDocument, error: &WriteError) -> Verdict {
    let rejection = match found {
        StoredDocument::Same => return Verdict::AlreadyStored,
        StoredDocument::Different => Rejection::of_field(
            Reason::IdConflict,
            "message_id",
            "another document is stored under this `message_id`",
        ),
        StoredDocument::Absent => Rejection::new(
            Reason::WriteRejected,
            "a unique index other than that of `_id` holds this key already",
        ),
    };
    Verdict::Rejected(Rejection {
        code: error.code,
        ..rejection
    })
}

fn rejected(error: &WriteError) -> Verdict {
    Verdict::Rejected(Rejection {
        code: error.code,
        ..Rejection::new(Reason::WriteRejected, error.message.clone())
    })
}
