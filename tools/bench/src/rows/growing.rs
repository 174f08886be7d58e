//! Batches as shipped, which grow with the backlog, beside batches of a fixed size.

use serde_json::json;

use super::{Outcome, backlog};
use crate::Result;
use crate::context::{Context, Load};
use crate::fail_point::{DELAY_MS, FailPoint};
use crate::observe::{self, Run};
use crate::report::{Quantity, Row, Target};
use crate::systems::{BatchSize, Job, System};

/// The shipped `consumer.batch_size`: before batches grew, all of them had this size.
pub const FIXED: BatchSize = BatchSize::Fixed(100);
pub const AS_SHIPPED: &str = "as shipped";
pub const OF_FIXED_SIZE: &str = "batches of 100";

/// The peer that has a target. Of these batch sizes the one counts with which it takes the least CPU time.
const CONNECT: &str = "kafka_connect";
const CONNECT_SIZES: [u32; 3] = [1000, 2000, 5000];

/// A system with a batch size, and its runs.
struct Subject {
    name: String,
    system: System,
    batch_size: BatchSize,
    /// How many messages a run waits for.
    target: u64,
    /// By round; `None` where the run failed.
    runs: Vec<Option<Run>>,
}

impl Subject {
    fn new(name: String, system: System, batch_size: BatchSize, target: u64) -> Self {
        Self {
            name,
            system,
            batch_size,
            target,
            runs: Vec::new(),
        }
    }

    fn all(&self, value: fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().flatten().map(value).collect()
    }

    /// Its values divided by those of `other`, for each round in which both succeeded.
    fn ratios(&self, other: &Self, value: fn(&Run) -> f64) -> Vec<f64> {
        let pairs = self.runs.iter().zip(&other.runs);
        pairs
            .filter_map(|(own, other)| Some(value(own.as_ref()?) / value(other.as_ref()?)))
            .collect()
    }
}

/// The worker as shipped, and with batches of the fixed size.
fn workers(targets: [u64; 2]) -> [Subject; 2] {
    let [shipped, fixed] = targets;
    [
        Subject::new(
            AS_SHIPPED.to_owned(),
            System::Worker,
            BatchSize::AsShipped,
            shipped,
        ),
        Subject::new(OF_FIXED_SIZE.to_owned(), System::Worker, FIXED, fixed),
    ]
}

/// A backlog of small messages.
pub fn backlog(context: &Context) -> Outcome {
    let load = backlog::load(context);
    let topic = context.topic(load)?;
    let title = format!("{} messages wait, batches as shipped", load.count);
    let mut row = Row::new("growing", &title);
    let [mut shipped, mut fixed] = workers([load.count; 2]);
    let connect = System::Peer(CONNECT.to_owned());
    let sizes = CONNECT_SIZES
        .iter()
        .filter(|_| context.peers.contains(&connect));
    let mut peers: Vec<Subject> = sizes
        .map(|&size| {
            let name = format!("{CONNECT}, batches of {size}");
            Subject::new(name, connect.clone(), size.into(), load.count)
        })
        .collect();
    let mut subjects = vec![&mut shipped, &mut fixed];
    subjects.extend(&mut peers);
    measure(context, &mut row, &topic, context.rounds, &mut subjects)?;

    compare(&mut row, &shipped, &fixed, 1.35);
    let peak = row.summary_of(AS_SHIPPED, Quantity::PeakRss);
    let peak = peak.map(|summary| summary.max);
    let what = format!("{AS_SHIPPED}, peak RSS MiB, greatest");
    row.judge(&what, peak, Target::AtMost(64.0));
    let cpu = |peer: &Subject| {
        let summary = row.summary_of(&peer.name, Quantity::Cpu);
        summary.map_or(f64::INFINITY, |summary| summary.median)
    };
    let best = peers.iter().min_by(|a, b| cpu(a).total_cmp(&cpu(b)));
    if let Some(best) = best {
        let pair = format!("{AS_SHIPPED} / {}", best.name);
        let ratios = shipped.ratios(best, |run| run.messages_per_second);
        row.figure(&pair, Quantity::ThroughputRatio, &ratios);
        let ratios = shipped.ratios(best, |run| run.cpu_microseconds_per_message);
        let ratio = row.figure(&pair, Quantity::CpuRatio, &ratios);
        let ratio = ratio.map(|ratio| ratio.median);
        row.judge(&format!("{pair} CPU, median"), ratio, Target::AtMost(0.25));
    }
    Ok(row)
}

/// A MongoDB that is far away, and one partition.
pub fn far(context: &Context) -> Outcome {
    // Both take about as long.
    let targets = [480_000, 96_000].map(|count| count / context.scale(1, 10));
    let load = Load {
        partitions: 1,
        count: targets[0],
        size: 0,
    };
    let topic = context.topic(load)?;
    let title = format!("each insert takes {DELAY_MS} ms more, batches as shipped, 1 partition");
    let mut row = Row::new("growing-far", &title);
    let [mut shipped, mut fixed] = workers(targets);
    let delay = FailPoint::delay(&context.client)?;
    let mut subjects = [&mut shipped, &mut fixed];
    measure(context, &mut row, &topic, context.rounds, &mut subjects)?;
    delay.disable()?;
    compare(&mut row, &shipped, &fixed, 5.0);
    Ok(row)
}

/// Runs each subject once in each round, and adds its figures and settings.
fn measure(
    context: &Context,
    row: &mut Row,
    topic: &str,
    rounds: u32,
    subjects: &mut [&mut Subject],
) -> Result<()> {
    for subject in &*subjects {
        row.settings[&subject.name] = subject.system.settings(context, subject.batch_size)?;
    }
    for round in 1..=rounds {
        for index in 0..subjects.len() {
            // The order alternates, so that effects of one run on the next favour no subject.
            let index = if round % 2 == 0 {
                subjects.len() - 1 - index
            } else {
                index
            };
            let subject = &mut *subjects[index];
            let name = format!("bench_{}_{index}_{round}", row.name);
            let job = Job::new(topic, &name, subject.batch_size);
            let run = observe::run(context, &subject.system, 1, &job, subject.target);
            match &run {
                Ok(run) => context.say(&format!(
                    "round {round}: {} {:.0} messages/s, {:.1} µs CPU a message",
                    subject.name, run.messages_per_second, run.cpu_microseconds_per_message
                )),
                // A failure must not discard the measurements of the others.
                Err(error) => {
                    let note = format!("round {round}, {}: {error}", subject.name);
                    row.notes.push(note);
                }
            }
            subject.runs.push(run.ok());
        }
    }
    for subject in &*subjects {
        let name = subject.name.as_str();
        row.observations[name] = json!(subject.runs);
        let rates = subject.all(|run| run.messages_per_second);
        row.figure(name, Quantity::Throughput, &rates);
        let cpu = subject.all(|run| run.cpu_microseconds_per_message);
        row.figure(name, Quantity::Cpu, &cpu);
        let peaks = subject.all(|run| run.peak_rss_mib);
        row.figure(name, Quantity::PeakRss, &peaks);
    }
    Ok(())
}

/// Compares the worker as shipped with the one of fixed size, round by round.
fn compare(row: &mut Row, shipped: &Subject, fixed: &Subject, bound: f64) {
    let pair = format!("{} / {}", shipped.name, fixed.name);
    let ratios = shipped.ratios(fixed, |run| run.messages_per_second);
    let throughput = row.figure(&pair, Quantity::ThroughputRatio, &ratios);
    let ratios = shipped.ratios(fixed, |run| run.cpu_microseconds_per_message);
    row.figure(&pair, Quantity::CpuRatio, &ratios);
    let median = throughput.map(|ratio| ratio.median);
    let what = format!("{pair} throughput, median");
    row.judge(&what, median, Target::AtLeast(bound));
}
