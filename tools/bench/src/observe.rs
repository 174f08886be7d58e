//! A run of a system, watched from outside: the number of documents over time, and the CPU time and memory of
//! the processes. It is the same for every system.

use std::time::{Duration, Instant};

use bson::Document;
use mongodb::sync::Collection;
use serde::Serialize;

use crate::Result;
use crate::context::Context;
use crate::pause;
use crate::process::{Process, Stop};
use crate::statistics::float;
use crate::systems::{Job, System};

/// The longest time that the number of documents may stay the same.
const STANDSTILL: Duration = Duration::from_secs(90);

/// The result of one run. Rates and costs count from the first look that saw a document to the first look that
/// saw all documents: the start is measured separately.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub system: String,
    pub documents: u64,
    /// From the start of the process to the first document.
    pub start_seconds: f64,
    pub seconds: f64,
    pub messages_per_second: f64,
    pub cpu_microseconds_per_message: f64,
    /// The sum over all processes.
    pub peak_rss_mib: f64,
    pub stop_seconds: f64,
    pub stops: Vec<Stop>,
}

/// What one look saw.
struct Observation {
    at: Instant,
    documents: u64,
    cpu: Duration,
}

/// Runs so many processes of a system until there are `target` documents, then stops them.
pub fn run(
    context: &Context,
    system: &System,
    processes: u32,
    job: &Job,
    target: u64,
) -> Result<Run> {
    let collection = context.prepare_database(&job.run)?;
    let started = Instant::now();
    let mut running = (1..=processes)
        .map(|number| {
            let log = context.log(&format!("{}-{}-{number}", job.run, system.name()));
            Process::start(system.name(), system.command(context, job), &log)
        })
        .collect::<Result<Vec<Process>>>()?;
    let interval = Duration::from_millis(10);
    let first = await_documents(&collection, &mut running, 1, interval)?;
    let last = await_documents(&collection, &mut running, target, interval)?;
    let mut peak_rss_mib = 0.0;
    for process in &running {
        peak_rss_mib += process.peak_rss_mib()?;
    }
    let stopping = Instant::now();
    let stops = stop(running)?;
    let stop_seconds = stopping.elapsed().as_secs_f64();
    context.drop_database(&job.run)?;

    if last.documents == first.documents {
        return Err("the run was over before it was seen to begin".into());
    }
    let documents = float(last.documents - first.documents);
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let cpu = last.cpu.saturating_sub(first.cpu);
    Ok(Run {
        system: system.name().to_owned(),
        documents: last.documents,
        start_seconds: first.at.duration_since(started).as_secs_f64(),
        seconds,
        messages_per_second: documents / seconds,
        cpu_microseconds_per_message: cpu.as_secs_f64() * 1e6 / documents,
        peak_rss_mib,
        stop_seconds,
        stops,
    })
}

/// How long a system takes from its start to its first document.
pub fn start_seconds(context: &Context, system: &System, job: &Job) -> Result<f64> {
    let collection = context.prepare_database(&job.run)?;
    let started = Instant::now();
    let log = context.log(&job.run);
    let mut running = vec![Process::start(
        system.name(),
        system.command(context, job),
        &log,
    )?];
    let first = await_documents(&collection, &mut running, 1, Duration::from_millis(1))?;
    stop(running)?;
    context.drop_database(&job.run)?;
    Ok(first.at.duration_since(started).as_secs_f64())
}

/// Waits until there are `target` documents.
fn await_documents(
    collection: &Collection<Document>,
    processes: &mut [Process],
    target: u64,
    interval: Duration,
) -> Result<Observation> {
    let mut seen = 0;
    let mut changed = Instant::now();
    loop {
        let documents = collection.estimated_document_count().run()?;
        let at = Instant::now();
        if documents >= target {
            let mut cpu = Duration::ZERO;
            for process in processes.iter() {
                cpu += process.cpu()?;
            }
            return Ok(Observation { at, documents, cpu });
        }
        if documents > seen {
            seen = documents;
            changed = at;
        } else if at.duration_since(changed) > STANDSTILL {
            return Err(format!("stands still at {documents} of {target} documents").into());
        }
        for process in processes.iter_mut() {
            process.check()?;
        }
        pause(interval);
    }
}

/// Signals all processes first, so that they stop at the same time.
fn stop(processes: Vec<Process>) -> Result<Vec<Stop>> {
    for process in &processes {
        process.terminate()?;
    }
    processes.into_iter().map(Process::await_end).collect()
}
