//! Benchmarks the bookkeeping of offsets, used as the committer uses it: 1,000 partitions and 100,000
//! records in flight. Throughput is in records, each from its dispatch to the commit beyond it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_mongo_consumer::per_record::OffsetTracker;
use kafka_mongo_consumer::per_record::RecordRun;
use kafka_mongo_consumer::per_record::{Epoch, Offset, TopicPartition};

const PARTITIONS: i32 = 1000;
const RECORDS_PER_PARTITION: i64 = 100;
const RECORDS: u64 = 100_000;

/// Settlements between two commits: the default of `consumer.offset_commit_frequency`.
const COMMIT_FREQUENCY: usize = 1000;

const EPOCH: Epoch = Epoch(1);

/// The work for each record, from dispatch to commit.
fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker");
    group.throughput(Throughput::Elements(RECORDS));
    for (length, runs) in [(10, runs_of(10)), (1, runs_of(1))] {
        let reversed: Vec<_> = runs.iter().rev().copied().collect();
        for (order, settled) in [
            ("in_order", &runs),
            ("reversed", &reversed),
            ("shuffled", &shuffled(&runs)),
        ] {
            let mut tracker = assigned();
            let mut round = 0;
            group.bench_function(format!("runs_of_{length}/{order}"), |bencher| {
                bencher.iter(|| {
                    dispatch(&mut tracker, &runs, round);
                    settle(&mut tracker, settled, round);
                    round += 1;
                });
            });
            assert_eq!(tracker.tracked(), 0, "every record is settled");
        }
    }
    group.finish();
}

/// The queries over all partitions, which don't depend on the number of records.
fn partitions(criterion: &mut Criterion) {
    let mut tracker = assigned();
    dispatch(&mut tracker, &runs_of(1), 0);
    let mut group = criterion.benchmark_group("tracker");
    group.throughput(Throughput::Elements(u64::from(PARTITIONS.unsigned_abs())));
    group.bench_function("tick", |bencher| {
        bencher.iter(|| {
            black_box(tracker.has_never_committed());
            black_box(tracker.oldest_in_flight());
            for partition in 0..PARTITIONS {
                black_box(tracker.committable(TopicPartition::consumed(partition)));
            }
        });
    });
    group.bench_function("has_never_committed", |bencher| {
        bencher.iter(|| tracker.has_never_committed());
    });
    for run in runs_of(10) {
        tracker.settled(run);
    }
    group.bench_function("uncommitted", |bencher| {
        bencher.iter(|| tracker.uncommitted());
    });
    group.finish();
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

/// Runs of `length` records; the partitions take turns.
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

/// The runs in an order that looks random and is always the same.
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
        tracker.dispatched(in_round(*run, round), taken_at);
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

/// The same run, moved beyond the offsets of the earlier rounds.
fn in_round(run: RecordRun, round: i64) -> RecordRun {
    let begin = round * RECORDS_PER_PARTITION;
    RecordRun {
        first: Offset(begin + run.first.0),
        last: Offset(begin + run.last.0),
        ..run
    }
}

criterion_group!(benches, records, partitions);
criterion_main!(benches);
