//! What the bookkeeping of offsets costs for each record, with many partitions and many records in flight.

use std::hint::black_box;
use std::time::{Duration, Instant};

use kafka_mongo_consumer::per_record::{Arrival, OffsetTracker};
use kafka_mongo_consumer::per_record::{Epoch, Offset, TopicPartition};
use kafka_mongo_consumer::per_record::{RecordRun, Timestamp};
use serde_json::json;

use crate::context::Context;
use crate::report::{Quantity, Row, Target};
use crate::statistics::float;

const PARTITIONS: i32 = 1000;
const IN_FLIGHT: i64 = 100_000;
const EPOCH: Epoch = Epoch(1);
const BATCH: usize = 100;
/// The worker's default of `consumer.offset_commit_frequency`.
const COMMIT_FREQUENCY: usize = 1000;

/// How the records of a batch are spread over partitions.
#[derive(Debug, Clone, Copy)]
enum Runs {
    /// Ten consecutive records of a partition together, as Kafka delivers them.
    OfTen,
    /// Each record of a batch is from another partition.
    OfOne,
}

impl Runs {
    fn length(self) -> i64 {
        match self {
            Self::OfTen => 10,
            Self::OfOne => 1,
        }
    }
}

/// The order in which the batches in flight are settled.
#[derive(Debug, Clone, Copy)]
enum Order {
    Received,
    Reversed,
    Shuffled,
}

pub fn run(context: &Context) -> Row {
    let title = format!("{PARTITIONS} partitions, {IN_FLIGHT} records in flight");
    let mut row = Row::new("bookkeeping", &title);
    row.settings = json!({
        "batch": BATCH, "a commit each": COMMIT_FREQUENCY,
        "counted": "dispatch, settlement, the committable offsets, their acknowledgement",
    });
    for runs in [Runs::OfTen, Runs::OfOne] {
        for order in [Order::Received, Order::Reversed, Order::Shuffled] {
            let subject = match runs {
                Runs::OfTen => format!("runs of ten, {order:?}"),
                Runs::OfOne => format!("single records, {order:?}"),
            }
            .to_lowercase();
            let values: Vec<f64> = (0..context.rounds)
                .map(|_| nanoseconds_per_record(runs, order, context.scale(20, 2)))
                .collect();
            row.observations[&subject] = json!(values);
            let cost = row.figure(&subject, Quantity::Bookkeeping, &values);
            let what = format!("{subject}, ns/record, median");
            row.judge(&what, cost.map(|cost| cost.median), Target::AtMost(100.0));
        }
    }
    row
}

/// The cost of everything that the committer does with its tracker. Each cycle fills it with all records in
/// flight and settles them. The time to build the batches and their order doesn't count.
fn nanoseconds_per_record(runs: Runs, order: Order, cycles: u32) -> f64 {
    let mut tracker = OffsetTracker::default();
    for partition in 0..PARTITIONS {
        tracker.assign(
            TopicPartition::consumed(partition),
            EPOCH,
            Offset(0),
            Some(Offset(0)),
        );
    }
    let mut spent = Duration::ZERO;
    let mut random = Random(7);
    for cycle in 0..cycles {
        let dispatched = batches(runs, i64::from(cycle));
        let settled = reorder(&dispatched, order, &mut random);
        let arrival = Arrival {
            taken_at: Instant::now(),
            written_at: Timestamp::CreateTime(0),
        };
        let started = Instant::now();
        for batch in &dispatched {
            for &run in batch {
                tracker.dispatched(run, arrival);
            }
            black_box(tracker.tracked());
        }
        let mut since_commit = 0;
        for batch in &settled {
            for &run in batch {
                since_commit += tracker.settled(run);
            }
            black_box(tracker.tracked());
            if since_commit >= COMMIT_FREQUENCY {
                since_commit = 0;
                for commit in tracker.uncommitted() {
                    tracker.committed(commit);
                }
            }
        }
        spent += started.elapsed();
        assert_eq!(tracker.tracked(), 0, "all of a cycle is settled");
    }
    let records = float(IN_FLIGHT.unsigned_abs()) * f64::from(cycles);
    spent.as_secs_f64() * 1e9 / records
}

/// Batches of `BATCH` records in the order in which they are received: runs of all partitions in turn.
fn batches(runs: Runs, cycle: i64) -> Vec<Vec<RecordRun>> {
    let length = runs.length();
    let per_partition = IN_FLIGHT / i64::from(PARTITIONS);
    let all: Vec<RecordRun> = (0..per_partition / length)
        .flat_map(|turn| {
            let first = cycle * per_partition + turn * length;
            (0..PARTITIONS).map(move |partition| RecordRun {
                partition: TopicPartition::consumed(partition),
                epoch: EPOCH,
                first: Offset(first),
                last: Offset(first + length - 1),
            })
        })
        .collect();
    let runs_per_batch = BATCH / all[0].count();
    all.chunks(runs_per_batch)
        .map(<[RecordRun]>::to_vec)
        .collect()
}

/// In shuffled order, single records are settled without regard to their batches, as dead letters are.
fn reorder(batches: &[Vec<RecordRun>], order: Order, random: &mut Random) -> Vec<Vec<RecordRun>> {
    let runs_per_batch = batches[0].len();
    let mut runs: Vec<RecordRun> = batches.concat();
    match order {
        Order::Received => {}
        Order::Reversed => runs.reverse(),
        Order::Shuffled => random.shuffle(&mut runs),
    }
    runs.chunks(runs_per_batch)
        .map(<[RecordRun]>::to_vec)
        .collect()
}

/// The same shuffle each time, by a 64-bit xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            items.swap(last, usize::try_from(other).expect("it is below a usize"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_has_all_records_of_a_cycle_once() {
        for runs in [Runs::OfTen, Runs::OfOne] {
            let dispatched = batches(runs, 3);
            for order in [Order::Received, Order::Reversed, Order::Shuffled] {
                let mut settled = reorder(&dispatched, order, &mut Random(1)).concat();
                let records: usize = settled.iter().map(|run| run.count()).sum();
                assert_eq!(records, 100_000);
                settled.sort_unstable_by_key(|run| (run.first, run.partition));
                assert_eq!(settled, dispatched.concat());
            }
        }
    }
}
