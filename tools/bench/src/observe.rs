//! A run of a system, watched from outside: how many documents there are when, and what the processes
//! have used up by then. The same for every system.

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

/// The longest that the number of documents may stay the same.
const STANDSTILL: Duration = Duration::from_secs(90);

/// What one run of a system came to. Rates and costs are of what happened between the first look that
/// saw a document and the first one that saw all: a start is measured on its own.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub system: String,
    pub documents: u64,
    /// From the start of the process to the first document.
    pub start_seconds: f64,
    pub seconds: f64,
    pub messages_per_second: f64,
    pub cpu_microseconds_per_message: f64,
    /// Of all processes together.
    pub peak_rss_mib: f64,
    pub stop_seconds: f64,
    pub stops: Vec<Stop>,
}

/// One look.
struct Sight {
    at: Instant,
    documents: u64,
    cpu: Duration,
}

/// Lets so many processes of a system work on a job until there are `target` documents, and stops them.
pub fn run(
    context: &Context,
    system: &System,
    processes: u32,
    job: &Job,
    target: u64,
) -> Result<Run> {
    let collection = context.prepare_database(&job.run)?;
    let started = Instant::now();
    let mut crew = (1..=processes)
        .map(|number| {
            let log = context.log(&format!("{}-{}-{number}", job.run, system.name()));
            Process::start(system.name(), system.command(context, job), &log)
        })
        .collect::<Result<Vec<Process>>>()?;
    let interval = Duration::from_millis(10);
    let first = await_documents(&collection, &mut crew, 1, interval)?;
    let last = await_documents(&collection, &mut crew, target, interval)?;
    let mut peak_rss_mib = 0.0;
    for process in &crew {
        peak_rss_mib += process.peak_rss_mib()?;
    }
    let stopping = Instant::now();
    let stops = stop(crew)?;
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
    let mut crew = vec![Process::start(
        system.name(),
        system.command(context, job),
        &log,
    )?];
    let first = await_documents(&collection, &mut crew, 1, Duration::from_millis(1))?;
    stop(crew)?;
    context.drop_database(&job.run)?;
    Ok(first.at.duration_since(started).as_secs_f64())
}

/// Looks until there are so many documents.
fn await_documents(
    collection: &Collection<Document>,
    crew: &mut [Process],
    target: u64,
    interval: Duration,
) -> Result<Sight> {
    let mut seen = 0;
    let mut changed = Instant::now();
    loop {
        let documents = collection.estimated_document_count().run()?;
        let at = Instant::now();
        if documents >= target {
            let mut cpu = Duration::ZERO;
            for process in crew.iter() {
                cpu += process.cpu()?;
            }
            return Ok(Sight { at, documents, cpu });
        }
        if documents > seen {
            seen = documents;
            changed = at;
        } else if at.duration_since(changed) > STANDSTILL {
            return Err(format!("stands still at {documents} of {target} documents").into());
        }
        for process in crew.iter_mut() {
            process.check()?;
        }
        pause(interval);
    }
}

/// All are told first: each leaves the group to the others.
fn stop(crew: Vec<Process>) -> Result<Vec<Stop>> {
    for process in &crew {
        process.terminate()?;
    }
    crew.into_iter().map(Process::await_end).collect()
}
