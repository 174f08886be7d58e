//! The verdict of each document, where the server answers with known codes.

use super::*;

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
fn a_rejected_record_leaves_the_others_stored() {
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
fn duplicates_are_judged_by_the_stored_documents() {
    let mut plan = plan(5);
    let duplicate = || error(ErrorSubject::Duplicate, 11000);
    plan.inserted(InsertOutcome::Answered(vec![
        (0, duplicate()),
        (1, duplicate()),
        (3, duplicate()),
        (4, duplicate()),
    ]));
    assert_eq!(plan.step(), Step::ReadBack(vec![0, 1, 3, 4]));
    plan.read_back(Ok(vec![
        StoredDocument::Same,
        StoredDocument::Different,
        StoredDocument::Absent,
        StoredDocument::EqualId,
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
    assert_eq!(reason(4), Some(Reason::IdConflict));
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn a_record_that_fails_its_command_is_found_by_halving_the_batch() {
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
fn every_document_is_rejected_if_each_command_is_refused_with_a_known_code() {
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
fn records_of_a_revoked_partition_leave_the_plan() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Failed(server()));
    plan.retain(|index| index != 1);
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![0, 2]));
    plan.retain(|_| false);
    assert_eq!(plan.step(), Step::Done);
}
