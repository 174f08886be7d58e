//! The plan, step by step.

mod properties;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use super::*;
use crate::core::evidence::Evidence;

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

    /// The server takes a document of another writer.
    fn another_is_taken(&mut self) {
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

#[test]
fn an_acknowledged_batch_is_stored() {
    let mut plan = plan(3);
    assert_eq!(plan.step(), Step::Insert(vec![0, 1, 2]));
    plan.inserted(InsertOutcome::Answered(Vec::new()));
    assert_eq!(plan.take_verdicts(), stored(0..3));
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn nothing_to_write_is_done() {
    assert_eq!(plan(0).step(), Step::Done);
}

#[test]
fn a_rejected_record_costs_itself_alone() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Answered(vec![(
        1,
        error(ErrorSubject::Record, 121),
    )]));
    let verdicts = plan.take_verdicts();
    assert_eq!(verdicts.len(), 3);
    let Verdict::Rejected(rejection) = &verdicts[1].1 else {
        panic!("{verdicts:?}")
    };
    assert_eq!(
        (rejection.reason, rejection.code),
        (Reason::WriteRejected, Some(121))
    );
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn a_failing_server_is_tried_again_until_the_attempts_are_used_up() {
    let mut plan = plan(2);
    for attempt in 1..3 {
        assert_eq!(plan.step(), Step::Insert(vec![0, 1]));
        plan.inserted(InsertOutcome::Failed(server()));
        assert_eq!(plan.attempts(), attempt);
        assert_eq!(plan.step(), Step::BackOff);
        plan.backed_off();
    }
    plan.inserted(InsertOutcome::Failed(server()));
    assert_eq!(plan.step(), Step::Unavailable(server()));
    assert_eq!(plan.take_verdicts(), Vec::new());
    plan.start_over();
    assert_eq!(plan.step(), Step::Insert(vec![0, 1]));
    assert_eq!(plan.redirect(), vec![0, 1]);
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn only_what_the_server_failed_at_is_tried_again() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Answered(vec![(2, server())]));
    assert_eq!(plan.take_verdicts(), stored(0..2));
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![2]));
    plan.inserted(InsertOutcome::Answered(Vec::new()));
    assert_eq!(plan.take_verdicts(), stored([2]));
}

#[test]
fn duplicates_are_judged_by_what_is_there() {
    let mut plan = plan(4);
    let duplicate = || error(ErrorSubject::Duplicate, 11000);
    plan.inserted(InsertOutcome::Answered(vec![
        (0, duplicate()),
        (1, duplicate()),
        (3, duplicate()),
    ]));
    assert_eq!(plan.step(), Step::ReadBack(vec![0, 1, 3]));
    plan.read_back(Ok(vec![
        StoredDocument::Same,
        StoredDocument::Different,
        StoredDocument::Absent,
    ]));
    let verdicts: BTreeMap<usize, Verdict> = plan.take_verdicts().into_iter().collect();
    let reason = |index| match &verdicts[&index] {
        Verdict::Rejected(rejection) => Some(rejection.reason),
        Verdict::Stored | Verdict::AlreadyStored => None,
    };
    assert_eq!(verdicts[&0], Verdict::AlreadyStored);
    assert_eq!(reason(1), Some(Reason::IdConflict));
    assert_eq!(verdicts[&2], Verdict::Stored);
    assert_eq!(reason(3), Some(Reason::WriteRejected));
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn a_failed_look_at_duplicates_inserts_them_again() {
    let mut plan = plan(2);
    plan.inserted(InsertOutcome::Answered(vec![(
        1,
        error(ErrorSubject::Duplicate, 11000),
    )]));
    plan.read_back(Err(server()));
    assert_eq!(plan.step(), Step::BackOff);
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![1]));
}

#[test]
fn one_poison_record_is_found_by_halves_and_costs_itself_alone() {
    let mut plan = plan(8);
    let mut inserts = 0;
    while let Step::Insert(group) = plan.step() {
        inserts += 1;
        let refused = InsertOutcome::Failed(error(ErrorSubject::Record, 22));
        let answer = if group.contains(&5) {
            refused
        } else {
            InsertOutcome::Answered(Vec::new())
        };
        plan.inserted(answer);
    }
    assert_eq!(plan.step(), Step::Done);
    assert!(inserts <= 7, "halves, not one by one: {inserts}");
    let verdicts = plan.take_verdicts();
    assert_eq!(verdicts.len(), 8);
    for (index, verdict) in verdicts {
        assert_eq!(matches!(verdict, Verdict::Rejected(_)), index == 5);
    }
}

#[test]
fn commands_refused_for_a_known_reason_are_about_their_documents_however_many_these_are() {
    for documents in 1..=4 {
        let mut plan = plan(documents);
        while let Step::Insert(_) = plan.step() {
            plan.inserted(InsertOutcome::Failed(error(ErrorSubject::Record, 22)));
        }
        assert!(plan.is_done());
        assert_eq!(plan.take_verdicts().len(), documents);
    }
}

#[test]
fn documents_refused_for_an_unknown_reason_are_rejected_at_the_second_refusal_if_others_are_taken()
{
    // Of a batch of six, one, two or five documents are faulty.
    for faulty in [&[1][..], &[1, 3], &[0, 1, 2, 3, 4]] {
        let mut plan = plan(6);
        let refused = faulty.iter().map(|&index| (index, unknown()));
        plan.inserted(InsertOutcome::Answered(refused.collect()));
        assert_eq!(plan.step(), Step::BackOff);
        plan.backed_off();
        let inserts: Vec<_> = std::iter::from_fn(|| {
            let group = plan.to_insert()?;
            plan.inserted(InsertOutcome::Answered(vec![(0, unknown())]));
            Some(group)
        })
        .collect();
        let alone: Vec<_> = faulty.iter().map(|&index| vec![index]).collect();
        assert_eq!(inserts, alone, "each in a command of its own");
        assert!(plan.is_done());
        assert_eq!(
            plan.rejected_and_stored(),
            (faulty.to_vec(), 6 - faulty.len())
        );
    }
}

#[test]
fn without_evidence_unknown_refusals_are_in_doubt_whether_of_one_document_or_of_a_pair() {
    for documents in [1, 2, 8] {
        for by_document in [false, true] {
            let mut plan = plan(documents);
            loop {
                if let Some(group) = plan.to_insert() {
                    let each = (0..group.len()).map(|place| (place, unknown()));
                    plan.inserted(if by_document {
                        InsertOutcome::Answered(each.collect())
                    } else {
                        InsertOutcome::Failed(unknown())
                    });
                } else if plan.step() == Step::BackOff {
                    plan.backed_off();
                } else {
                    break;
                }
            }
            assert_eq!(plan.attempts(), 3);
            assert!(plan.is_in_doubt(), "{documents} documents");
            assert_eq!(plan.pending().len(), documents);

            // What is known survives the new start.
            plan.start_over();
            assert_eq!(plan.step(), Step::InsertSuspect(0));
            plan.another_is_taken();
            plan.answer(|_| true);
            assert!(plan.is_done());
            assert_eq!(plan.rejected_and_stored(), ((0..documents).collect(), 0));
        }
    }
}

#[test]
fn a_document_taken_before_the_first_refusal_is_no_evidence() {
    // The server begins to fail in the middle of a command.
    let mut plan = plan(4);
    plan.inserted(InsertOutcome::Answered(vec![
        (2, unknown()),
        (3, unknown()),
    ]));
    assert_eq!(plan.rejected_and_stored(), (Vec::new(), 2));
    plan.answer(|_| true);
    assert!(plan.is_in_doubt());
    // It works again.
    plan.start_over();
    plan.answer(|_| false);
    assert!(plan.is_done());
    assert_eq!(plan.rejected_and_stored(), (Vec::new(), 2));
}

#[test]
fn documents_that_were_never_refused_go_before_the_suspects() {
    let mut plan = plan(4);
    plan.inserted(InsertOutcome::Answered(vec![
        (0, unknown()),
        (2, server()),
        (3, server()),
    ]));
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![2, 3]));
    plan.inserted(InsertOutcome::Answered(Vec::new()));
    assert_eq!(plan.step(), Step::InsertSuspect(0));
}

#[test]
fn an_outage_in_between_doesnt_make_the_plan_forget_a_refusal() {
    let mut plan = plan(2);
    plan.inserted(InsertOutcome::Answered(vec![
        (0, unknown()),
        (1, unknown()),
    ]));
    while plan.step() == Step::BackOff {
        plan.backed_off();
        plan.inserted(InsertOutcome::Failed(server()));
    }
    assert_eq!(plan.step(), Step::Unavailable(server()), "certainly");
    plan.another_is_taken();
    plan.start_over();
    plan.answer(|_| true);
    assert_eq!(plan.rejected_and_stored(), (vec![0, 1], 0));
}

#[test]
fn redirecting_a_suspect_leaves_the_rest_in_the_plan() {
    let mut plan = plan(2);
    plan.answer(|_| true);
    plan.start_over();
    assert_eq!(plan.redirect_next(), vec![0]);
    assert_eq!(plan.step(), Step::InsertSuspect(1));
    assert_eq!(plan.redirect_next(), vec![1]);
    assert!(plan.is_done());
}

#[test]
fn an_unknown_fault_that_passes_while_its_culprit_is_sought_singles_nobody_out() {
    // Three attempts with all of them, and then halves of 4, 2 and 1.
    for faults in 1..=6 {
        let mut plan = plan(8);
        let mut left = faults;
        plan.answer(|_| {
            left -= 1;
            left >= 0
        });
        assert!(plan.is_done());
        assert_eq!(
            plan.rejected_and_stored(),
            (Vec::new(), 8),
            "{faults} faults"
        );
    }
}

#[test]
fn an_unknown_refusal_of_each_command_with_one_document_costs_that_one_alone() {
    for faulty in [&[0][..], &[3], &[7], &[2, 3]] {
        let mut plan = plan(8);
        plan.answer(|group| faulty.iter().any(|index| group.contains(index)));
        if faulty == [7] {
            // It was the last one that was inserted.
            assert!(plan.is_in_doubt());
            plan.another_is_taken();
            plan.start_over();
            plan.answer(|_| true);
        }
        assert!(plan.is_done());
        assert_eq!(
            plan.rejected_and_stored(),
            (faulty.to_vec(), 8 - faulty.len())
        );
    }
}

#[test]
fn an_unknown_error_of_the_read_back_is_the_servers() {
    let mut plan = plan(1);
    let duplicate = error(ErrorSubject::Duplicate, 11000);
    for _ in 0..3 {
        plan.inserted(InsertOutcome::Answered(vec![(0, duplicate.clone())]));
        plan.read_back(Err(unknown()));
        plan.backed_off();
    }
    assert!(
        matches!(plan.step(), Step::Unavailable(error) if error.subject == ErrorSubject::Server)
    );
}

#[test]
fn a_refusal_of_us_stops_everything() {
    let mut plan = plan(2);
    let denied = error(ErrorSubject::Operator, 13);
    plan.inserted(InsertOutcome::Failed(denied.clone()));
    assert_eq!(plan.step(), Step::Stop(denied));
    assert_eq!(plan.take_verdicts(), Vec::new());
    assert_eq!(plan.pending(), vec![0, 1]);
}

#[test]
fn refused_credentials_that_were_accepted_before_stop_everything_after_the_attempts() {
    let mut plan = plan(2);
    let denied = error(ErrorSubject::CredentialsAcceptedBefore, 18);
    for _ in 1..3 {
        plan.inserted(InsertOutcome::Failed(denied.clone()));
        assert_eq!(plan.step(), Step::BackOff);
        plan.backed_off();
    }
    plan.inserted(InsertOutcome::Failed(denied.clone()));
    assert_eq!(plan.step(), Step::Stop(denied));
}

#[test]
fn records_that_are_gone_leave_the_plan() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Failed(server()));
    plan.retain(|index| index != 1);
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![0, 2]));
    plan.retain(|_| false);
    assert_eq!(plan.step(), Step::Done);
}
