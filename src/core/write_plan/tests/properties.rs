//! The plan against a model server: whatever that answers, each document gets one verdict, and the right one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a document meets whenever it is inserted by a server that works.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Stored,
    Same,
    Other,
    Nothing,
    RejectedAlone,
    PoisonsItsCommand,
    /// Rejected alone, with a code that isn't in the table.
    UnknownAlone,
    /// Poisons its command, with a code that isn't in the table.
    UnknownPoison,
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
        1 => Just(Fate::UnknownAlone),
        1 => Just(Fate::UnknownPoison),
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
    /// Whatever the server's moods, each document gets exactly one verdict, the one of its fate, and a document is
    /// inserted again only while it has none. From one insert on the server may refuse everything for an unknown
    /// reason, until that passes. That blames nobody.
    #[test]
    fn each_document_gets_its_verdict_exactly_once(
        fates in fates(), moods in moods(), fault_begins in 0..40_u32, fault_lasts in 0..80_u32,
    ) {
        let mut plan = Tested {
            plan: WritePlan::new((0..fates.len()).collect(), 3),
            evidence: Evidence::default(),
        };
        let mut verdicts: BTreeMap<usize, Verdict> = BTreeMap::new();
        let mut moods = moods.into_iter().chain(std::iter::repeat(Mood::Works));
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
                        answer(&group, &fates, moods.next().unwrap())
                    };
                    inserts += 1;
                    plan.inserted(outcome);
                }
                Step::ReadBack(group) => {
                    plan.read_back(match moods.next().unwrap() {
                        Mood::Works | Mood::FailsSome => Ok(group.iter().map(|i| found(fates[*i])).collect()),
                        Mood::Fails => Err(server()),
                    });
                }
                Step::BackOff => plan.backed_off(),
                Step::Unavailable(_) => {
                    if !is_faulty(inserts) {
                        plan.another_is_taken();
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
                | Fate::PoisonsItsCommand
                | Fate::UnknownAlone
                | Fate::UnknownPoison => {
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
    let contains = |fate| group.iter().any(|index| fates[*index] == fate);
    if contains(Fate::PoisonsItsCommand) {
        return InsertOutcome::Failed(error(ErrorSubject::Record, 22));
    }
    if contains(Fate::UnknownPoison) {
        return InsertOutcome::Failed(unknown());
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
            Fate::UnknownAlone | Fate::UnknownPoison => Some((place, unknown())),
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
