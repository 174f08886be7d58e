//! Natural batching: how large batches become, and how long a message takes, at loads from ten messages a
//! second to more than the worker can take.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::Outcome;
use crate::context::{Context, Load};
use crate::http::{self, Batches};
use crate::probe::{self, Pace};
use crate::process::Process;
use crate::report::{Quantity, Row};
use crate::systems::{Job, System};
use crate::{Result, pause};

pub const NAME: &str = "natural-batching";
/// The load of so many messages at once that the worker is busy throughout.
pub const FLOOD: &str = "flood";

/// Messages a second; `None` is the flood.
const RATES: [Option<u32>; 7] = [
    Some(10),
    Some(100),
    Some(1000),
    Some(5000),
    Some(20_000),
    Some(50_000),
    None,
];
const BATCH_SIZE: u32 = 1000;
const PROBES_PER_SECOND: u32 = 20;

/// What was observed at one load.
#[derive(Debug, Serialize)]
struct Point {
    load: String,
    /// Of the worker, the probes included.
    messages_per_second: f64,
    batch_size: f64,
    latencies_ms: Vec<f64>,
}

pub fn run(context: &Context) -> Outcome {
    let title = format!("batches of {BATCH_SIZE} at most, {PROBES_PER_SECOND} probes a second");
    let mut row = Row::new(NAME, &title);
    row.settings["worker"] = System::Worker.settings(context, BATCH_SIZE)?;
    let mut points = Vec::new();
    for rate in RATES {
        let point = measure(context, rate)?;
        row.figure(
            &point.load,
            Quantity::Throughput,
            &[point.messages_per_second],
        );
        row.figure(&point.load, Quantity::BatchSize, &[point.batch_size]);
        let latency = row.figure(&point.load, Quantity::Latency, &point.latencies_ms);
        let latency = latency.ok_or("no probe was seen")?;
        context.say(&format!(
            "{}: {:.0} messages/s, {:.1} a batch, {:.1} ms",
            point.load, point.messages_per_second, point.batch_size, latency.median
        ));
        points.push(point);
    }
    row.observations = json!(points);
    row.notes.push(String::from(
        "the messages of the flood wait in Kafka, so their latency grows with the size of the flood",
    ));
    Ok(row)
}

fn measure(context: &Context, rate: Option<u32>) -> Result<Point> {
    let load = rate.map_or_else(|| FLOOD.to_owned(), |rate| format!("{rate} a second"));
    let name = format!("bench_batching_{}", load.replace(' ', "_"));
    let empty = Load {
        partitions: 6,
        count: 0,
        size: 0,
    };
    context.fill(&name, empty)?;
    let mut job = Job::new(&name, &name, BATCH_SIZE);
    job.metrics_port = http::free_port()?;
    let collection = context.prepare_database(&job.run)?;
    let command = System::Worker.command(context, &job);
    let mut worker = Process::start("worker", command, &context.log(&name))?;
    http::await_ready(&mut worker, job.metrics_port)?;

    let window = Duration::from_secs(context.scale(10, 2));
    let mut generator = context.load_generator(&name);
    // A steady load goes on until it is stopped. The flood must end: its probes wait behind it.
    let count = rate.map_or(context.scale(2_000_000, 200_000), |_| u32::MAX);
    generator
        .args(["--rate", &rate.unwrap_or(0).to_string()])
        .args(["--count", &count.to_string()])
        .stderr(Stdio::null());
    let log = context.log(&format!("{name}-generator"));
    let generator = Process::start("load_generator", generator, &log)?;
    // Let caches and connections warm up.
    pause(Duration::from_secs(1));
    let pace = Pace::lasting(PROBES_PER_SECOND, window);
    let brokers = &context.brokers;
    let (before, after, seconds, latencies_ms) = thread::scope(|scope| {
        let probing = scope.spawn(|| {
            probe::through_kafka(brokers, &name, &collection, "probe", pace)
                .map_err(|error| error.to_string())
        });
        let started = Instant::now();
        let before = Batches::read(job.metrics_port)?;
        pause(window);
        let after = Batches::read(job.metrics_port)?;
        let seconds = started.elapsed().as_secs_f64();
        // The last probes must not wait behind further load.
        drop(generator);
        let latencies = probing.join().map_err(|_| "the probes panicked")??;
        Ok::<_, Box<dyn std::error::Error>>((before, after, seconds, latencies))
    })?;
    worker.terminate()?;
    worker.await_end()?;
    context.drop_database(&job.run)?;

    let messages = after.messages - before.messages;
    Ok(Point {
        load,
        messages_per_second: messages / seconds,
        batch_size: messages / (after.batches - before.batches),
        latencies_ms,
    })
}
