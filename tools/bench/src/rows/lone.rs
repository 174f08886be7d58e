//! Lone messages: the latency through Kafka and the worker, compared with a direct insert.

use std::time::Duration;

use bson::Document;
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::sync::Collection;
use serde_json::json;

use super::Outcome;
use crate::context::{Context, Load};
use crate::http;
use crate::probe::{self, Pace};
use crate::process::Process;
use crate::report::{Quantity, Row, Target};
use crate::systems::{BatchSize, Job, System};

const RATE: u32 = 100;
/// How many phases each of the two kinds has; they alternate.
const PHASES: u32 = 3;

pub fn run(context: &Context) -> Outcome {
    let topic = "lone-messages";
    let load = Load {
        partitions: 6,
        count: 0,
        size: 0,
    };
    context.fill(topic, load)?;
    let mut job = Job::new(topic, "bench_lone", BatchSize::AsShipped);
    job.metrics_port = http::free_port()?;
    let collection = context.prepare_database(&job.run)?;
    let direct = direct_collection(context, &job.run);
    let command = System::Worker.command(context, &job);
    let mut worker = Process::start("worker", command, &context.log(&job.run))?;
    http::await_ready(&mut worker, job.metrics_port)?;

    let mut through_worker = Vec::new();
    let mut by_itself = Vec::new();
    let warm_up = Pace::lasting(RATE, Duration::from_secs(1));
    let pace = Pace::lasting(RATE, Duration::from_secs(context.scale(10, 1)));
    for phase in 0..=PHASES {
        // The first phase only warms up caches and connections.
        let pace = if phase == 0 { warm_up } else { pace };
        let prefix = format!("worker-{phase}");
        let worker_latencies =
            probe::through_kafka(&context.brokers, topic, &collection, &prefix, pace)?;
        let direct_latencies = probe::direct(&direct, &format!("direct-{phase}"), pace)?;
        if phase > 0 {
            through_worker.extend(worker_latencies);
            by_itself.extend(direct_latencies);
        }
    }
    worker.terminate()?;
    worker.await_end()?;
    context.drop_database(&job.run)?;

    let title =
        format!("lone messages at {RATE}/s, from acknowledged by Kafka to readable in MongoDB");
    let mut row = Row::new("lone", &title);
    row.settings["worker"] = System::Worker.settings(context, BatchSize::AsShipped)?;
    row.settings["direct"] =
        json!("insert_one, w: 1, j: true; from the call to readable in MongoDB");
    row.observations = json!({ "worker_ms": through_worker, "direct_ms": by_itself });
    let worker = row.figure("worker", Quantity::Latency, &through_worker);
    let direct = row.figure("direct insert", Quantity::Latency, &by_itself);
    let (Some(worker), Some(direct)) = (worker, direct) else {
        return Err("no message was seen".into());
    };
    let target = Target::AtMost(10.0);
    row.judge(
        "median ms above direct's",
        Some(worker.median - direct.median),
        target,
    );
    let target = Target::AtMost(30.0);
    row.judge(
        "p99 ms above direct's",
        Some(worker.p99 - direct.p99),
        target,
    );
    Ok(row)
}

/// A collection with the worker's write concern.
fn direct_collection(context: &Context, database: &str) -> Collection<Document> {
    let concern = WriteConcern::builder()
        .w(Acknowledgment::Nodes(1))
        .journal(true)
        .build();
    let options = CollectionOptions::builder().write_concern(concern).build();
    context
        .client
        .database(database)
        .collection_with_options("direct", options)
}
