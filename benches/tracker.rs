//! The bookkeeping of offsets, used as the committer uses it: 1,000 partitions, 100,000 records in
//! flight. Throughput is in records: what each costs from its dispatch to the commit behind it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use kafka_mongo_consumer::per_record::{Arrival, OffsetTracker};
use kafka_mongo_consumer::per_record::{Epoch, Offset, TopicPartition};
use kafka_mongo_consumer::per_record::{RecordRun, Timestamp};

const PARTITIONS: i32 = 1000;
const RECORDS_PER_PARTITION: i64 = 100;
const RECORDS: u32 = 100_000;

/// Settlements between two commits: the default of `commit_frequency`.
const COMMIT_FREQUENCY: usize = 1000;

const EPOCH: Epoch = Epoch(1);

fn main() {
    divan::main();
}

/// How many records of a partition come in a row, and in what order the records are settled.
struct Case {
    run_length: i64,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Received,
    Reversed,
    Shuffled,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "runs of {}, {:?}", self.run_length, self.order)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    [10, 1].into_iter().flat_map(|run_length| {
        [Order::Received, Order::Reversed, Order::Shuffled].map(|order| Case { run_length, order })
    })
}

/// From dispatch to commit.
#[divan::bench(args = cases())]
fn records(bencher: Bencher<'_, '_>, case: &Case) {
    let runs = runs_of(case.run_length);
    let settled = match case.order {
        Order::Received => runs.clone(),
        Order::Reversed => runs.iter().rev().copied().collect(),
        Order::Shuffled => shuffled(&runs),
    };
    let mut tracker = assigned();
    let mut round = 0;
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        dispatch(&mut tracker, &runs, round);
        settle(&mut tracker, &settled, round);
        round += 1;
    });
    assert_eq!(tracker.tracked(), 0, "all is settled");
}

/// What the committer asks at each tick, for all partitions.
#[divan::bench]
fn tick(bencher: Bencher<'_, '_>) {
    let tracker = in_flight();
    per_partition(bencher).bench_local(|| {
        black_box(tracker.has_never_committed());
        black_box(tracker.oldest_in_flight());
        for partition in 0..PARTITIONS {
            black_box(tracker.committable(TopicPartition::consumed(partition)));
        }
    });
}

#[divan::bench]
fn has_never_committed(bencher: Bencher<'_, '_>) {
    let tracker = in_flight();
    per_partition(bencher).bench_local(|| tracker.has_never_committed());
}

#[divan::bench]
fn uncommitted(bencher: Bencher<'_, '_>) {
    let mut tracker = in_flight();
    for run in runs_of(10) {
        tracker.settled(run);
    }
    per_partition(bencher).bench_local(|| tracker.uncommitted());
}

fn per_partition<'a, 'b>(bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(PARTITIONS.unsigned_abs()))
}

fn in_flight() -> OffsetTracker {
    let mut tracker = assigned();
    dispatch(&mut tracker, &runs_of(1), 0);
    tracker
}

fn assigned() -> OffsetTracker {
    let mut tracker = OffsetTracker::default();
    for partition in 0..PARTITIONS {
        tracker.assign(
            TopicPartition::consumed(partition),
            EPOCH,
            Offset(0),
            Some(Offset(0)),
        );
    }
    tracker
}

/// Records of all partitions in turn, `length` of one at a time.
fn runs_of(length: i64) -> Vec<RecordRun> {
    let turns = 0..RECORDS_PER_PARTITION / length;
    turns
        .flat_map(|turn| {
            (0..PARTITIONS).map(move |partition| RecordRun {
                partition: TopicPartition::consumed(partition),
                epoch: EPOCH,
                first: Offset(turn * length),
                last: Offset((turn + 1) * length - 1),
            })
        })
        .collect()
}

/// Shuffled, in the same way each time.
fn shuffled(runs: &[RecordRun]) -> Vec<RecordRun> {
    let mut runs = runs.to_vec();
    runs.sort_by_cached_key(|run| {
        let mut hasher = DefaultHasher::new();
        (run.partition, run.first).hash(&mut hasher);
        hasher.finish()
    });
    runs
}

fn dispatch(tracker: &mut OffsetTracker, runs: &[RecordRun], round: i64) {
    let taken_at = Instant::now();
    for run in runs {
        let arrival = Arrival {
            taken_at,
            written_at: Timestamp::CreateTime(0),
        };
        tracker.dispatched(in_round(*run, round), arrival);
    }
}

fn settle(tracker: &mut OffsetTracker, runs: &[RecordRun], round: i64) {
    let mut settled = 0;
    for run in runs {
        settled += tracker.settled(in_round(*run, round));
        if settled >= COMMIT_FREQUENCY {
            settled = 0;
            commit(tracker);
        }
    }
    commit(tracker);
}

fn commit(tracker: &mut OffsetTracker) {
    for commit in tracker.uncommitted() {
        tracker.committed(commit);
    }
}

/// The same run with the offsets of a later round.
fn in_round(run: RecordRun, round: i64) -> RecordRun {
    let begin = round * RECORDS_PER_PARTITION;
    RecordRun {
        first: Offset(begin + run.first.0),
        last: Offset(begin + run.last.0),
        ..run
    }
}
