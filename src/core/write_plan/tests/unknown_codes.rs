//! Refusals with codes that aren't in the table: suspects, and the evidence against them.

use super::*;

#[test]
fn an_unknown_refusal_rejects_a_document_at_the_second_time_if_others_are_stored() {
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
fn without_evidence_no_document_is_rejected_for_an_unknown_code() {
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
            plan.another_writer_stores_one();
            plan.answer(|_| true);
            assert!(plan.is_done());
            assert_eq!(plan.rejected_and_stored(), ((0..documents).collect(), 0));
        }
    }
}

#[test]
fn a_document_stored_before_the_first_refusal_is_no_evidence() {
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
fn documents_that_were_never_refused_are_inserted_before_the_suspects() {
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
fn a_refusal_is_remembered_across_an_outage() {
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
    plan.another_writer_stores_one();
    plan.start_over();
    plan.answer(|_| true);
    assert_eq!(plan.rejected_and_stored(), (vec![0, 1], 0));
}

#[test]
fn redirecting_one_suspect_leaves_the_others_in_the_plan() {
    let mut plan = plan(2);
    plan.answer(|_| true);
    plan.start_over();
    assert_eq!(plan.redirect_next(), vec![0]);
    assert_eq!(plan.step(), Step::InsertSuspect(1));
    assert_eq!(plan.redirect_next(), vec![1]);
    assert!(plan.is_done());
}

#[test]
fn an_unknown_fault_that_passes_rejects_no_document() {
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
fn a_document_that_fails_each_of_its_commands_is_rejected_alone() {
    for faulty in [&[0][..], &[3], &[7], &[2, 3]] {
        let mut plan = plan(8);
        plan.answer(|group| faulty.iter().any(|index| group.contains(index)));
        if faulty == [7] {
            // It was the last one that was inserted.
            assert!(plan.is_in_doubt());
            plan.another_writer_stores_one();
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
