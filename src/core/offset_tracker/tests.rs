//! The tracker against a simple and slow model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::core::partition::RecordId;

const P: TopicPartition = TopicPartition::consumed(0);
const E: Epoch = Epoch(7);

fn tracker(start: i64) -> OffsetTracker {
    let mut tracker = OffsetTracker::default();
    tracker.assign(P, E, Offset(start), Some(Offset(start)));
    tracker
}

fn run(epoch: Epoch, first: i64, last: i64) -> RecordRun {
    RecordRun {
        partition: P,
        epoch,
        first: Offset(first),
        last: Offset(last),
    }
}

#[test]
fn an_unsettled_record_holds_back_all_above_it() {
    let mut tracker = tracker(10);
    tracker.dispatched(run(E, 10, 14), at(Instant::now()));
    assert_eq!(tracker.settled(run(E, 11, 14)), 4);
    assert_eq!(tracker.committable(P), Some(Offset(10)));
    assert!(tracker.uncommitted().is_empty());
    assert_eq!(tracker.settled(run(E, 10, 10)), 1);
    assert_eq!(tracker.committable(P), Some(Offset(15)));
    let commit = Commit {
        partition: P,
        epoch: E,
        offset: Offset(15),
    };
    assert_eq!(tracker.uncommitted(), vec![commit]);
    tracker.committed(commit);
    assert!(tracker.uncommitted().is_empty());
}

#[test]
fn the_committable_offset_moves_over_gaps() {
    let mut tracker = tracker(0);
    let now = Instant::now();
    tracker.dispatched(run(E, 3, 3), at(now));
    tracker.dispatched(run(E, 900, 901), at(now));
    assert_eq!(tracker.committable(P), Some(Offset(3)));
    tracker.settled(run(E, 3, 3));
    assert_eq!(
        tracker.committable(P),
        Some(Offset(900)),
        "nothing is between them"
    );
    tracker.settled(run(E, 901, 901));
    tracker.settled(run(E, 900, 900));
    assert_eq!(tracker.committable(P), Some(Offset(902)));
}

#[test]
fn a_settlement_of_an_old_epoch_changes_nothing() {
    let mut tracker = tracker(0);
    tracker.dispatched(run(E, 0, 1), at(Instant::now()));
    let next = Epoch(8);
    tracker.assign(P, next, Offset(0), Some(Offset(0)));
    tracker.dispatched(run(next, 0, 1), at(Instant::now()));
    assert_eq!(tracker.settled(run(E, 0, 1)), 0);
    assert_eq!(
        (tracker.committable(P), tracker.in_flight(P)),
        (Some(Offset(0)), 2)
    );
    tracker.committed(Commit {
        partition: P,
        epoch: E,
        offset: Offset(2),
    });
    assert_eq!(tracker.settled(run(next, 0, 0)), 1);
    assert_eq!(
        tracker.uncommitted().len(),
        1,
        "the old epoch's commit was not ours"
    );
}

#[test]
fn a_repeated_settlement_counts_once() {
    let mut tracker = tracker(0);
    tracker.dispatched(run(E, 0, 2), at(Instant::now()));
    assert_eq!(tracker.settled(run(E, 1, 1)), 1);
    assert_eq!(tracker.settled(run(E, 1, 1)), 0);
    assert_eq!(tracker.in_flight(P), 2);
}

#[test]
fn an_abandoned_record_is_not_awaited_but_holds_back_the_commit() {
    let mut tracker = tracker(0);
    tracker.dispatched(run(E, 0, 2), at(Instant::now()));
    tracker.abandoned(run(E, 1, 1));
    tracker.settled(run(E, 0, 0));
    tracker.settled(run(E, 2, 2));
    assert_eq!(tracker.in_flight(P), 0);
    assert_eq!(tracker.committable(P), Some(Offset(1)));
}

#[test]
fn a_position_is_committable_once_every_record_below_it_is_settled() {
    let mut tracker = tracker(0);
    tracker.dispatched(run(E, 0, 0), at(Instant::now()));
    tracker.position_reached(P, E, Offset(9));
    assert_eq!(tracker.committable(P), Some(Offset(0)));
    tracker.settled(run(E, 0, 0));
    assert_eq!(tracker.committable(P), Some(Offset(9)));
    tracker.position_reached(P, Epoch(1), Offset(50));
    assert_eq!(
        tracker.committable(P),
        Some(Offset(9)),
        "an old epoch's position"
    );
}

#[test]
fn a_partition_without_a_committed_offset_has_a_first_commit_due() {
    let mut tracker = OffsetTracker::default();
    tracker.assign(P, E, Offset(40), None);
    assert!(tracker.has_never_committed());
    let first = Commit {
        partition: P,
        epoch: E,
        offset: Offset(40),
    };
    assert_eq!(tracker.uncommitted(), vec![first]);
    tracker.committed(first);
    assert!(!tracker.has_never_committed());
}

/// Written at a time that makes no difference.
fn at(taken_at: Instant) -> Arrival {
    Arrival {
        taken_at,
        written_at: Timestamp::NotAvailable,
    }
}

#[test]
fn the_oldest_record_that_waits_is_the_oldest_one_that_is_not_committed() {
    let mut tracker = tracker(0);
    let written = |millis| Arrival {
        taken_at: Instant::now(),
        written_at: Timestamp::CreateTime(millis),
    };
    let oldest = |tracker: &OffsetTracker, has_records| {
        let (_, progress) = tracker.progress().next().expect("a partition");
        progress.oldest_waiting(has_records)
    };
    let millis = |millis| Some(Timestamp::CreateTime(millis));
    assert_eq!(oldest(&tracker, true), None, "nobody knows when");
    tracker.dispatched(run(E, 0, 1), written(100));
    tracker.dispatched(run(E, 2, 3), written(200));
    assert_eq!(oldest(&tracker, true), millis(100));
    tracker.settled(run(E, 0, 1));
    assert_eq!(
        oldest(&tracker, true),
        millis(100),
        "settled, not committed"
    );
    let commit = |offset| Commit {
        partition: P,
        epoch: E,
        offset: Offset(offset),
    };
    tracker.committed(commit(2));
    assert_eq!(oldest(&tracker, true), millis(200));
    tracker.settled(run(E, 2, 3));
    tracker.committed(commit(4));
    assert_eq!(oldest(&tracker, false), None, "nothing waits");
    assert_eq!(oldest(&tracker, true), millis(200), "what waits came later");
    tracker.dispatched(run(E, 4, 5), written(300));
    assert_eq!(oldest(&tracker, true), millis(300));
}

#[test]
fn the_oldest_record_in_flight_is_the_oldest_unsettled_one() {
    let mut tracker = tracker(0);
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    tracker.dispatched(run(E, 0, 0), at(start));
    tracker.dispatched(run(E, 1, 1), at(later));
    assert_eq!(tracker.oldest_in_flight(), Some(start));
    tracker.settled(run(E, 0, 0));
    assert_eq!(tracker.oldest_in_flight(), Some(later));
    tracker.settled(run(E, 1, 1));
    assert_eq!(tracker.oldest_in_flight(), None);
}

/// What may happen to a consumer of a few partitions.
#[derive(Debug, Clone)]
enum Operation {
    Assign(i32),
    Forget(i32),
    /// This many records, each after a gap.
    Dispatch(i32, Vec<u8>),
    /// Of the records ever dispatched, the one at this share of them; settled, possibly again, possibly
    /// of an old epoch.
    Settle(prop::sample::Index),
    Abandon(prop::sample::Index),
    Reach(i32, u8),
    /// Acknowledges every commit that is due.
    Commit,
    /// Acknowledges a commit that was due some time ago.
    LateCommit(prop::sample::Index),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let partition = 0..3_i32;
    let operation = prop_oneof![
        1 => partition.clone().prop_map(Operation::Assign),
        1 => partition.clone().prop_map(Operation::Forget),
        6 => (partition.clone(), prop::collection::vec(0..4_u8, 1..6))
            .prop_map(|(p, gaps)| Operation::Dispatch(p, gaps)),
        12 => any::<prop::sample::Index>().prop_map(Operation::Settle),
        1 => any::<prop::sample::Index>().prop_map(Operation::Abandon),
        2 => (partition, 0..5_u8).prop_map(|(p, ahead)| Operation::Reach(p, ahead)),
        2 => Just(Operation::Commit),
        1 => any::<prop::sample::Index>().prop_map(Operation::LateCommit),
    ];
    prop::collection::vec(operation, 1..150)
}

/// Everything that ever happened to a partition in its current epoch.
struct Model {
    epoch: Epoch,
    position: i64,
    received: Vec<i64>,
    settled: BTreeSet<i64>,
    abandoned: BTreeSet<i64>,
    committed: Option<i64>,
}

impl Model {
    /// The first received offset that isn't settled; else the position.
    fn committable(&self) -> i64 {
        self.received
            .iter()
            .copied()
            .find(|o| !self.settled.contains(o))
            .unwrap_or(self.position)
    }
}

proptest! {
    #[test]
    fn the_tracker_agrees_with_the_model(operations in operations()) {
        let mut tracker = OffsetTracker::default();
        let mut models: BTreeMap<i32, Model> = BTreeMap::new();
        let mut ever: Vec<RecordId> = Vec::new();
        let mut commits: Vec<Commit> = Vec::new();
        let mut epochs = 0..;
        let now = Instant::now();
        for operation in operations {
            match operation {
                Operation::Assign(p) => {
                    let epoch = Epoch(epochs.next().unwrap());
                    // A new owner starts where the group has committed.
                    let start = models.get(&p).and_then(|m| m.committed).unwrap_or(0);
                    let committed = (start > 0).then_some(start);
                    tracker.assign(TopicPartition::consumed(p), epoch, Offset(start), committed.map(Offset));
                    models.insert(p, Model {
                        epoch, position: start, received: Vec::new(), settled: BTreeSet::new(),
                        abandoned: BTreeSet::new(), committed,
                    });
                }
                Operation::Forget(p) => {
                    tracker.forget(TopicPartition::consumed(p));
                    models.remove(&p);
                }
                Operation::Dispatch(p, gaps) => {
                    let Some(model) = models.get_mut(&p) else { continue };
                    let mut ids = Vec::new();
                    for gap in gaps {
                        let offset = model.position + i64::from(gap);
                        model.received.push(offset);
                        model.position = offset + 1;
                        let id = RecordId { partition: TopicPartition::consumed(p), epoch: model.epoch, offset: Offset(offset) };
                        ids.push(id);
                        ever.push(id);
                    }
                    for run in RecordRun::collect(ids) {
                        tracker.dispatched(run, at(now));
                    }
                }
                Operation::Settle(which) | Operation::Abandon(which) if ever.is_empty() => { let _ = which; }
                Operation::Settle(which) => {
                    let id = *which.get(&ever);
                    let model = models.get_mut(&id.partition.number).filter(|m| m.epoch == id.epoch);
                    let counts = model.is_some_and(|m| {
                        !m.abandoned.contains(&id.offset.0) && m.settled.insert(id.offset.0)
                    });
                    prop_assert_eq!(tracker.settled(RecordRun::of(id)), usize::from(counts));
                }
                Operation::Abandon(which) => {
                    let id = *which.get(&ever);
                    let model = models.get_mut(&id.partition.number).filter(|m| m.epoch == id.epoch);
                    let counts = model.is_some_and(|m| {
                        !m.settled.contains(&id.offset.0) && m.abandoned.insert(id.offset.0)
                    });
                    prop_assert_eq!(tracker.abandoned(RecordRun::of(id)), usize::from(counts));
                }
                Operation::Reach(p, ahead) => {
                    let Some(model) = models.get_mut(&p) else { continue };
                    model.position += i64::from(ahead);
                    tracker.position_reached(TopicPartition::consumed(p), model.epoch, Offset(model.position));
                }
                Operation::Commit => {
                    for commit in tracker.uncommitted() {
                        commits.push(commit);
                        tracker.committed(commit);
                        let model = models.get_mut(&commit.partition.number).unwrap();
                        model.committed = model.committed.max(Some(commit.offset.0));
                    }
                }
                Operation::LateCommit(which) => {
                    if !commits.is_empty() {
                        // Never takes the committed offset back, nor touches another epoch.
                        tracker.committed(*which.get(&commits));
                    }
                }
            }
            for (p, model) in &models {
                let partition = TopicPartition::consumed(*p);
                prop_assert_eq!(tracker.committable(partition), Some(Offset(model.committable())));
                let open = model.received.len() - model.settled.len() - model.abandoned.len();
                prop_assert_eq!(tracker.in_flight(partition), open);
            }
            let tracked: usize = models
                .values()
                .map(|m| m.received.iter().filter(|o| **o >= m.committable()).count())
                .sum();
            prop_assert_eq!(tracker.tracked(), tracked);
            let due: Vec<(i32, i64)> = models
                .iter()
                .filter(|(_, m)| m.committed < Some(m.committable()))
                .map(|(p, m)| (*p, m.committable()))
                .collect();
            let uncommitted: Vec<(i32, i64)> =
                tracker.uncommitted().iter().map(|c| (c.partition.number, c.offset.0)).collect();
            prop_assert_eq!(uncommitted, due);
        }
    }
}
