//! Faults of the server, and refusals that only an operator can end: what is tried again, and how often.

use super::*;

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
fn only_documents_with_a_server_error_are_tried_again() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Answered(vec![(2, server())]));
    assert_eq!(plan.take_verdicts(), stored(0..2));
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![2]));
    plan.inserted(InsertOutcome::Answered(Vec::new()));
    assert_eq!(plan.take_verdicts(), stored([2]));
}

#[test]
fn duplicates_are_inserted_again_if_they_cannot_be_read_back() {
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
fn an_unknown_error_of_the_read_back_counts_as_a_server_error() {
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
fn refused_privileges_stop_the_plan_at_once() {
    let mut plan = plan(2);
    let denied = error(ErrorSubject::Operator, 13);
    plan.inserted(InsertOutcome::Failed(denied.clone()));
    assert_eq!(plan.step(), Step::Stop(denied));
    assert_eq!(plan.take_verdicts(), Vec::new());
    assert_eq!(plan.pending(), vec![0, 1]);
}

#[test]
fn refused_credentials_that_were_accepted_before_stop_the_plan_after_the_attempts() {
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
fn the_inserts_of_each_document_are_counted() {
    let mut plan = WritePlan::new(vec![1, 4], 3);
    let counts = |plan: &WritePlan| [0, 1, 4, 5].map(|index| plan.inserts_of(index));
    assert_eq!(counts(&plan), [0; 4], "redirected before the first insert");
    let mut evidence = Evidence::default();
    let mut fail = |plan: &mut WritePlan| {
        let begun = evidence.begin();
        let span = evidence.end(&begun, false);
        plan.inserted(InsertOutcome::Failed(server()), span);
    };
    for attempt in 1..=3 {
        fail(&mut plan);
        assert_eq!(counts(&plan), [0, attempt, attempt, 0]);
        plan.backed_off();
    }
    assert_eq!(plan.step(), Step::Unavailable(server()));
    plan.start_over();
    assert_eq!(counts(&plan), [0, 3, 3, 0], "an outage forgets no insert");
    plan.retain(|index| index == 4);
    fail(&mut plan);
    assert_eq!(counts(&plan), [0, 3, 4, 0]);
}

#[test]
fn the_inserts_of_halves_are_counted_too() {
    let mut plan = plan(4);
    plan.inserted(InsertOutcome::Failed(error(ErrorSubject::Record, 22)));
    plan.inserted(InsertOutcome::Answered(Vec::new()));
    assert_eq!(
        [0, 1, 2, 3].map(|index| plan.inserts_of(index)),
        [2, 2, 1, 1]
    );
}
