//! Tests of the plan: one step after the other, and against a model server. Here is what these tests share.

mod properties;
mod retries;
mod unknown_codes;
mod verdicts;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use super::*;
use crate::core::evidence::Evidence;
use crate::core::rejection::Reason;

/// A plan, and the inserts of all writers.
struct Tested {
    plan: WritePlan,
    evidence: Evidence,
}

impl Tested {
    fn inserted(&mut self, outcome: InsertOutcome) {
        let documents = match self.step() {
            Step::Insert(group) => group.len(),
            _ => 1,
        };
        let begun = self.evidence.begin();
        let span = self.evidence.end(&begun, outcome.took_any(documents));
        self.plan.inserted(outcome, span);
    }

    /// Another writer inserts a document, and the server stores it.
    fn another_writer_stores_one(&mut self) {
        let begun = self.evidence.begin();
        self.evidence.end(&begun, true);
    }

    /// The documents of the next insert.
    fn to_insert(&self) -> Option<Vec<usize>> {
        match self.step() {
            Step::Insert(group) => Some(group),
            Step::InsertSuspect(index) => Some(vec![index]),
            _ => None,
        }
    }

    /// Answers inserts, as `refuses` says, by an unknown refusal of the command or by storing everything, until the
    /// plan is done or MongoDB counts as unavailable.
    fn answer(&mut self, mut refuses: impl FnMut(&[usize]) -> bool) {
        for turn in 0.. {
            assert!(turn < 10_000, "the plan doesn't come to an end");
            if let Some(group) = self.to_insert() {
                self.inserted(if refuses(&group) {
                    InsertOutcome::Failed(unknown())
                } else {
                    InsertOutcome::Answered(Vec::new())
                });
            } else if self.step() == Step::BackOff {
                self.backed_off();
            } else {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.step() == Step::Done
    }

    /// Whether MongoDB counts as unavailable, though the documents may be the cause.
    fn is_in_doubt(&self) -> bool {
        matches!(self.step(), Step::Unavailable(error) if error.subject == ErrorSubject::Unknown)
    }

    /// Which documents were rejected since the last call, ascending, and how many were stored.
    fn rejected_and_stored(&mut self) -> (Vec<usize>, usize) {
        let verdicts = self.take_verdicts();
        let all = verdicts.len();
        let rejected = |(index, verdict)| matches!(verdict, Verdict::Rejected(_)).then_some(index);
        let mut rejected: Vec<usize> = verdicts.into_iter().filter_map(rejected).collect();
        rejected.sort_unstable();
        let stored = all - rejected.len();
        (rejected, stored)
    }
}

impl Deref for Tested {
    type Target = WritePlan;

    fn deref(&self) -> &WritePlan {
        &self.plan
    }
}

impl DerefMut for Tested {
    fn deref_mut(&mut self) -> &mut WritePlan {
        &mut self.plan
    }
}

fn unknown() -> WriteError {
    error(ErrorSubject::Unknown, 77777)
}

fn error(subject: ErrorSubject, code: i32) -> WriteError {
    WriteError {
        subject,
        code: Some(code),
        message: format!("code {code}"),
        summary: String::new(),
    }
}

fn server() -> WriteError {
    error(ErrorSubject::Server, 91)
}

fn plan(documents: usize) -> Tested {
    Tested {
        plan: WritePlan::new((0..documents).collect(), 3),
        evidence: Evidence::default(),
    }
}

fn stored(indexes: impl IntoIterator<Item = usize>) -> Vec<(usize, Verdict)> {
    indexes
        .into_iter()
        .map(|index| (index, Verdict::Stored))
        .collect()
}
