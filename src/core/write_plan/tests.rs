//! The plan against a model server: whatever that answers, each document gets one verdict, and the
//! right one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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

fn plan(documents: usize) -> WritePlan {
    WritePlan::new((0..documents).collect(), 3)
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
fn where_every_single_one_is_refused_alike_it_is_the_servers_doing() {
    let mut plan = plan(4);
    while let Step::Insert(_) = plan.step() {
        plan.inserted(InsertOutcome::Failed(error(ErrorSubject::Record, 22)));
    }
    assert!(matches!(plan.step(), Step::Unavailable(_)));
    assert_eq!(plan.take_verdicts(), Vec::new());
    assert_eq!(plan.pending(), vec![0, 1, 2, 3]);
}

#[test]
fn an_unknown_refusal_of_one_record_is_about_it_once_the_attempts_are_used_up() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Answered(vec![(
        1,
        error(ErrorSubject::Unknown, 77777),
    )]));
    for _ in 1..3 {
        assert_eq!(plan.step(), Step::BackOff);
        plan.backed_off();
        assert_eq!(plan.step(), Step::Insert(vec![1]));
        plan.inserted(InsertOutcome::Answered(vec![(
            0,
            error(ErrorSubject::Unknown, 77777),
        )]));
    }
    assert_eq!(plan.step(), Step::Done);
    assert!(
        plan.take_verdicts()
            .iter()
            .any(|(i, v)| *i == 1 && matches!(v, Verdict::Rejected(_)))
    );
}

/// Answers inserts, as `refuses` says, by an unknown refusal of the whole or by storing everything.
fn answer_unknown(plan: &mut WritePlan, mut refuses: impl FnMut(&[usize]) -> bool) {
    loop {
        match plan.step() {
            Step::Insert(group) if refuses(&group) => {
                plan.inserted(InsertOutcome::Failed(error(ErrorSubject::Unknown, 77777)));
            }
            Step::Insert(_) => plan.inserted(InsertOutcome::Answered(Vec::new())),
            Step::BackOff => plan.backed_off(),
            _ => break,
        }
    }
}

#[test]
fn an_unknown_fault_that_passes_while_its_culprit_is_sought_singles_nobody_out() {
    // Three attempts with all of them, and then halves of 4, 2 and 1.
    for faults in 1..=6 {
        let mut plan = plan(8);
        let mut left = faults;
        answer_unknown(&mut plan, |_| {
            left -= 1;
            left >= 0
        });
        assert_eq!(plan.step(), Step::Done);
        let mut verdicts = plan.take_verdicts();
        verdicts.sort_by_key(|(index, _)| *index);
        assert_eq!(verdicts, stored(0..8), "{faults} faults");
    }
}

#[test]
fn an_unknown_refusal_of_commands_with_one_record_costs_that_one_alone() {
    let mut plan = plan(8);
    answer_unknown(&mut plan, |group| group.contains(&0));
    assert_eq!(plan.step(), Step::Done);
    for (index, verdict) in plan.take_verdicts() {
        assert_eq!(matches!(verdict, Verdict::Rejected(_)), index == 0);
    }
}

#[test]
fn an_unknown_refusal_of_everything_is_the_servers_doing() {
    let mut plan = plan(1);
    for _ in 0..3 {
        plan.inserted(InsertOutcome::Failed(error(ErrorSubject::Unknown, 77777)));
        plan.backed_off();
    }
    assert!(matches!(plan.step(), Step::Unavailable(_)));
}

#[test]
fn an_unknown_answer_for_a_lone_record_is_about_it() {
    let mut plan = plan(1);
    for _ in 0..3 {
        let unknown = error(ErrorSubject::Unknown, 77777);
        plan.inserted(InsertOutcome::Answered(vec![(0, unknown)]));
        plan.backed_off();
    }
    assert_eq!(plan.step(), Step::Done);
    assert!(matches!(
        plan.take_verdicts()[..],
        [(0, Verdict::Rejected(_))]
    ));
}

#[test]
fn an_unknown_answer_alike_for_several_is_the_servers_doing() {
    let mut plan = plan(2);
    for _ in 0..3 {
        let unknown = || error(ErrorSubject::Unknown, 77777);
        plan.inserted(InsertOutcome::Answered(vec![
            (0, unknown()),
            (1, unknown()),
        ]));
        plan.backed_off();
    }
    assert!(matches!(plan.step(), Step::Unavailable(_)));
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
fn records_that_are_gone_leave_the_plan() {
    let mut plan = plan(3);
    plan.inserted(InsertOutcome::Failed(server()));
    plan.retain(|index| index != 1);
    plan.backed_off();
    assert_eq!(plan.step(), Step::Insert(vec![0, 2]));
    plan.retain(|_| false);
    assert_eq!(plan.step(), Step::Done);
}

/// What a document meets whenever it is inserted by a server that works.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Stored,
    Same,
    Other,
    Nothing,
    RejectedAlone,
    PoisonsItsCommand,
}

/// What the server does with one call.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Works,
    Fails,
    FailsSome,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        8 => Just(Fate::Stored),
        1 => Just(Fate::Same),
        1 => Just(Fate::Other),
        1 => Just(Fate::Nothing),
        1 => Just(Fate::RejectedAlone),
        1 => Just(Fate::PoisonsItsCommand),
    ];
    prop::collection::vec(fate, 1..40)
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    prop::collection::vec(
        prop_oneof![4 => Just(Mood::Works), 1 => Just(Mood::Fails), 1 => Just(Mood::FailsSome)],
        0..60,
    )
}

proptest! {
    /// Whatever the server's moods, each document gets exactly one verdict, the one of its fate, and a
    /// document is inserted again only while it has none.
    #[test]
    fn each_document_gets_its_verdict_exactly_once(fates in fates(), moods in moods()) {
        let mut plan = WritePlan::new((0..fates.len()).collect(), 3);
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        let mut moods = moods.into_iter().chain(std::iter::repeat(Mood::Works));
        for turn in 0.. {
            prop_assert!(turn < 10_000, "the plan doesn't come to an end");
            match plan.step() {
                Step::Insert(group) => {
                    prop_assert!(!group.is_empty());
                    for index in &group {
                        prop_assert!(!verdicts.contains_key(index), "{index} is inserted after its verdict");
                    }
                    plan.inserted(answer(&group, &fates, moods.next().unwrap()));
                }
                Step::ReadBack(group) => {
                    plan.read_back(match moods.next().unwrap() {
                        Mood::Works | Mood::FailsSome => Ok(group.iter().map(|i| found(fates[*i])).collect()),
                        Mood::Fails => Err(server()),
                    });
                }
                Step::BackOff => plan.backed_off(),
                Step::Unavailable(error) => {
                    let left = plan.pending();
                    let only_poison = left.iter().all(|i| fates[*i] == Fate::PoisonsItsCommand);
                    if only_poison && error.subject == ErrorSubject::Record {
                        // Every leaf was refused alike, and what was taken before an outage proves
                        // nothing after it: that won't change with this server.
                        break;
                    }
                    plan.start_over();
                }
                Step::Stop(error) => prop_assert!(false, "nothing was denied: {error:?}"),
                Step::Done => {
                    prop_assert_eq!(verdicts.len(), fates.len());
                    break;
                }
            }
            for (index, verdict) in plan.take_verdicts() {
                prop_assert!(verdicts.insert(index, verdict).is_none(), "{index} has two verdicts");
            }
            let open: Vec<usize> = (0..fates.len()).filter(|i| !verdicts.contains_key(i)).collect();
            prop_assert_eq!(plan.pending(), open);
        }
        for (index, fate) in fates.iter().enumerate() {
            if !verdicts.contains_key(&index) {
                prop_assert_eq!(*fate, Fate::PoisonsItsCommand, "{} has no verdict", index);
                continue;
            }
            let reason = match &verdicts[&index] {
                Verdict::Rejected(rejection) => Some(rejection.reason),
                Verdict::Stored | Verdict::AlreadyStored => None,
            };
            match fate {
                Fate::Stored => prop_assert_eq!(&verdicts[&index], &Verdict::Stored),
                Fate::Same => prop_assert_eq!(&verdicts[&index], &Verdict::AlreadyStored),
                Fate::Other => prop_assert_eq!(reason, Some(Reason::IdConflict)),
                Fate::Nothing | Fate::RejectedAlone | Fate::PoisonsItsCommand => {
                    prop_assert_eq!(reason, Some(Reason::WriteRejected));
                }
            }
        }
    }
}

fn answer(group: &[usize], fates: &[Fate], mood: Mood) -> InsertOutcome {
    if matches!(mood, Mood::Fails) {
        return InsertOutcome::Failed(server());
    }
    if group
        .iter()
        .any(|index| fates[*index] == Fate::PoisonsItsCommand)
    {
        return InsertOutcome::Failed(error(ErrorSubject::Record, 22));
    }
    let errors = group.iter().enumerate().filter_map(|(place, index)| {
        if matches!(mood, Mood::FailsSome) && place % 2 == 0 {
            return Some((place, server()));
        }
        match fates[*index] {
            Fate::Stored => None,
            Fate::Same | Fate::Other | Fate::Nothing => {
                Some((place, error(ErrorSubject::Duplicate, 11000)))
            }
            Fate::RejectedAlone | Fate::PoisonsItsCommand => {
                Some((place, error(ErrorSubject::Record, 121)))
            }
        }
    });
    InsertOutcome::Answered(errors.collect())
}

fn found(fate: Fate) -> StoredDocument {
    match fate {
        Fate::Same => StoredDocument::Same,
        Fate::Other => StoredDocument::Different,
        _ => StoredDocument::Absent,
    }
}
