//! Lone messages while the worker stores what an outage has sent to the dead letter topic.

use std::time::{Duration, Instant};

use bson::doc;
use serde_json::json;

use super::Outcome;
use crate::context::{Context, Load};
use crate::fail_point::FailPoint;
use crate::http;
use crate::probe::{self, Pace};
use crate::process::Process;
use crate::report::{Quantity, Row, Target};
use crate::statistics::float;
use crate::systems::{BatchSize, Job, System};
use crate::{Result, pause};

const RATE: u32 = 100;
const WAITING: &str = "consumer_replay_waiting";
const STORED: &str = "consumer_replay_stored_total";
/// If a step takes longer, the row fails.
const GIVE_UP: Duration = Duration::from_secs(180);

/// What one outage and its replay showed.
struct Seen {
    beside_ms: Vec<f64>,
    alone_ms: Vec<f64>,
    /// Letters a second.
    pace: f64,
}

pub fn run(context: &Context) -> Outcome {
    let letters = context.scale(1_000_000, 20_000);
    let mut beside = Vec::new();
    let mut alone = Vec::new();
    let mut paces = Vec::new();
    for round in 1..=context.rounds.min(3) {
        let seen = watch(context, round, letters)?;
        context.say(&format!("round {round}: {:.0} letters a second", seen.pace));
        beside.extend(seen.beside_ms);
        alone.extend(seen.alone_ms);
        paces.push(seen.pace);
    }
    let title = format!(
        "lone messages at {RATE}/s, while {letters} dead letters of an outage are stored, and after that"
    );
    let mut row = Row::new("replay", &title);
    row.settings["worker"] = System::Worker.settings(context, BatchSize::AsShipped)?;
    row.observations =
        json!({ "beside_ms": beside, "alone_ms": alone, "letters_per_second": paces });
    row.figure("replay", Quantity::Throughput, &paces);
    let beside = row.figure("beside the replay", Quantity::Latency, &beside);
    let alone = row.figure("after it", Quantity::Latency, &alone);
    let (Some(beside), Some(alone)) = (beside, alone) else {
        return Err("no message was seen".into());
    };
    row.judge(
        "median ms above that after it",
        Some(beside.median - alone.median),
        Target::AtMost(10.0),
    );
    row.judge(
        "p99 ms above that after it",
        Some(beside.p99 - alone.p99),
        Target::AtMost(30.0),
    );
    Ok(row)
}

fn watch(context: &Context, round: u32, letters: u64) -> Result<Seen> {
    let name = format!("bench_replay_{round}");
    let load = Load {
        partitions: 6,
        count: letters,
        size: 0,
    };
    context.fill(&name, load)?;
    let mut job = Job::new(&name, &name, BatchSize::AsShipped);
    job.metrics_port = http::free_port()?;
    let collection = context.prepare_database(&job.run)?;
    let mut command = System::Worker.command(context, &job);
    // The outage is known soon.
    command.env("CONSUMER__CONSUMER__MAX_RETRIES", "1");
    command.env("CONSUMER__KAFKA__DEAD_LETTER_TOPIC", format!("{name}.dead"));
    let away = FailPoint::enable(&context.client, doc! { "closeConnection": true })?;
    let mut worker = Process::start("worker", command, &context.log(&name))?;
    // It isn't ready while MongoDB is away.
    http::await_answers(&mut worker, job.metrics_port)?;
    let mut wait_until = |is_so: &dyn Fn(f64, f64) -> bool| {
        let started = Instant::now();
        loop {
            worker.check()?;
            let [waiting, stored] = http::metrics(job.metrics_port, [WAITING, STORED])?;
            if is_so(waiting, stored) {
                return Ok::<f64, Box<dyn std::error::Error>>(stored);
            }
            if started.elapsed() > GIVE_UP {
                return Err(format!("{waiting} dead letters wait, {stored} are stored").into());
            }
            pause(Duration::from_millis(50));
        }
    };
    wait_until(&|waiting, _| waiting >= float(letters))?;
    away.disable()?;
    let before = wait_until(&|_, stored| stored > 0.0)?;

    let pace = Pace::lasting(RATE, Duration::from_secs(context.scale(10, 1)));
    let probe =
        |prefix: &str| probe::through_kafka(&context.brokers, &name, &collection, prefix, pace);
    let started = Instant::now();
    let beside_ms = probe("beside-")?;
    let seconds = started.elapsed().as_secs_f64();
    let after = wait_until(&|_, _| true)?;
    if after >= float(letters) && !context.quick {
        return Err("the replay ended before the probes".into());
    }
    wait_until(&|waiting, _| waiting == 0.0)?;
    // What MongoDB still has to do for the replay.
    pause(Duration::from_secs(context.scale(5, 0)));
    let alone_ms = probe("alone-")?;
    worker.terminate()?;
    worker.await_end()?;
    context.drop_database(&job.run)?;
    Ok(Seen {
        beside_ms,
        alone_ms,
        pace: (after - before) / seconds,
    })
}
