//! The plan against a model server: each document gets exactly one verdict, and the expected one, whatever the server
//! answers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// How a working server answers an insert of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Stored,
    /// A duplicate key: the same document is stored already.
    Same,
    /// A duplicate key: another document has this `_id`.
    Other,
    /// A duplicate key, although no document has this `_id`: another unique index has the value.
    Nothing,
    /// An error about this document.
    RejectedAlone,
    /// An error about the whole command that contains this document.
    FailsItsCommand,
    /// As `RejectedAlone`, with a code that isn't in the table.
    UnknownAlone,
    /// As `FailsItsCommand`, with a code that isn't in the table.
    UnknownOfCommand,
}

/// How the server behaves during one call.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
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
        1 => Just(Fate::FailsItsCommand),
        1 => Just(Fate::UnknownAlone),
        1 => Just(Fate::UnknownOfCommand),
    ];
    prop::collection::vec(fate, 1..40)
}

fn behaviours() -> impl Strategy<Value = Vec<Behaviour>> {
    prop::collection::vec(
        prop_oneof![4 => Just(Behaviour::Works), 1 => Just(Behaviour::Fails), 1 => Just(Behaviour::FailsSome)],
        0..60,
    )
}

proptest! {
    /// Each document gets exactly one verdict, the one of its fate, and no document is inserted after its verdict. For
    /// some inserts in a row the server may refuse every command with an unknown code. No document is rejected for
    /// that.
    #[test]
    fn each_document_gets_its_verdict_exactly_once(
        fates in fates(), behaviours in behaviours(), fault_begins in 0..40_u32, fault_lasts in 0..80_u32,
    ) {
        let mut plan = Tested {
            plan: WritePlan::new((0..fates.len()).collect(), 3),
            evidence: Evidence::default(),
        };
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        let mut behaviours = behaviours.into_iter().chain(std::iter::repeat(Behaviour::Works));
        let mut inserts = 0;
        let is_faulty = |inserts| (fault_begins..fault_begins + fault_lasts).contains(&inserts);
        for turn in 0.. {
            prop_assert!(turn < 10_000, "the plan doesn't come to an end");
            match plan.step() {
                Step::Insert(_) | Step::InsertSuspect(_) => {
                    let group = plan.to_insert().unwrap_or_default();
                    prop_assert!(!group.is_empty());
                    for index in &group {
                        prop_assert!(!verdicts.contains_key(index), "{index} is inserted after its verdict");
                    }
                    let outcome = if is_faulty(inserts) {
                        InsertOutcome::Failed(unknown())
                    } else {
                        answer(&group, &fates, behaviours.next().unwrap())
                    };
                    inserts += 1;
                    plan.inserted(outcome);
                }
                Step::ReadBack(group) => {
                    plan.read_back(match behaviours.next().unwrap() {
                        Behaviour::Works | Behaviour::FailsSome => Ok(group.iter().map(|i| found(fates[*i])).collect()),
                        Behaviour::Fails => Err(server()),
                    });
                }
                Step::BackOff => plan.backed_off(),
                Step::Unavailable(_) => {
                    if !is_faulty(inserts) {
                        plan.another_writer_stores_one();
                    }
                    plan.start_over();
                }
                Step::Stop(error) => prop_assert!(false, "the server refused no privilege: {error:?}"),
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
            let reason = match &verdicts[&index] {
                Verdict::Rejected(rejection) => Some(rejection.reason),
                Verdict::Stored | Verdict::AlreadyStored => None,
            };
            match fate {
                Fate::Stored => prop_assert_eq!(&verdicts[&index], &Verdict::Stored),
                Fate::Same => prop_assert_eq!(&verdicts[&index], &Verdict::AlreadyStored),
                Fate::Other => prop_assert_eq!(reason, Some(Reason::IdConflict)),
                Fate::Nothing
                | Fate::RejectedAlone
                | Fate::FailsItsCommand
                | Fate::UnknownAlone
                | Fate::UnknownOfCommand => {
                    prop_assert_eq!(reason, Some(Reason::WriteRejected));
                }
            }
        }
    }
}

fn answer(group: &[usize], fates: &[Fate], behaviour: Behaviour) -> InsertOutcome {
    if matches!(behaviour, Behaviour::Fails) {
        return InsertOutcome::Failed(server());
    }
    let contains = |fate| group.iter().any(|index| fates[*index] == fate);
    if contains(Fate::FailsItsCommand) {
        return InsertOutcome::Failed(error(ErrorSubject::Record, 22));
    }
    if contains(Fate::UnknownOfCommand) {
        return InsertOutcome::Failed(unknown());
    }
    let errors = group.iter().enumerate().filter_map(|(place, index)| {
        if matches!(behaviour, Behaviour::FailsSome) && place % 2 == 0 {
            return Some((place, server()));
        }
        match fates[*index] {
            Fate::Stored => None,
            Fate::Same | Fate::Other | Fate::Nothing => {
                Some((place, error(ErrorSubject::Duplicate, 11000)))
            }
            Fate::RejectedAlone | Fate::FailsItsCommand => {
                Some((place, error(ErrorSubject::Record, 121)))
            }
            Fate::UnknownAlone | Fate::UnknownOfCommand => Some((place, unknown())),
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
