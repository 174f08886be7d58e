//! How throughput and cost go with partitions, replicas, the size of messages, and writers.

use serde::Serialize;
use serde_json::json;

use super::{Outcome, backlog};
use crate::Result;
use crate::context::{Context, Load};
use crate::observe::{self, Run};
use crate::plot;
use crate::report::{Quantity, Row};
use crate::statistics::Summary;
use crate::systems::{Job, System};

const BATCH_SIZE: u32 = 1000;
const ROUNDS: u32 = 3;

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Partitions,
    Replicas,
    MessageBytes,
    Writers,
}

impl Dimension {
    pub const ALL: [Self; 4] = [
        Self::Partitions,
        Self::Replicas,
        Self::MessageBytes,
        Self::Writers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Replicas => "replicas",
            Self::MessageBytes => "bytes a message",
            Self::Writers => "writers",
        }
    }

    fn values(self) -> &'static [u32] {
        match self {
            Self::Partitions => &[1, 6, 24, 96],
            Self::Replicas => &[1, 2, 4, 6],
            Self::MessageBytes => &[167, 1000, 10_000, 100_000],
            Self::Writers => &[1, 2, 4, 8, 16],
        }
    }
}

/// What was seen at one value of one dimension.
#[derive(Debug, Serialize)]
pub struct Point {
    pub dimension: Dimension,
    pub value: u32,
    runs: Vec<Run>,
    pub throughput: Summary,
    pub cpu: Summary,
}

pub fn run(context: &Context) -> Outcome {
    let mut row = Row::new(
        "growth",
        "with 6 partitions, 1 replica, messages of 167 bytes and the default writers, but for what is varied",
    );
    row.settings["worker"] = System::Worker.settings(context, BATCH_SIZE)?;
    let mut points = Vec::new();
    for dimension in Dimension::ALL {
        for &value in dimension.values() {
            let point = measure(context, dimension, value)?;
            let subject = format!("{value} {}", dimension.name());
            context.say(&format!(
                "{subject}: {:.0} messages/s, {:.1} µs CPU a message",
                point.throughput.median, point.cpu.median
            ));
            let all =
                |value: fn(&Run) -> f64| -> Vec<f64> { point.runs.iter().map(value).collect() };
            row.figure(
                &subject,
                Quantity::Throughput,
                &all(|run| run.messages_per_second),
            );
            row.figure(
                &subject,
                Quantity::Cpu,
                &all(|run| run.cpu_microseconds_per_message),
            );
            points.push(point);
        }
    }
    row.observations = json!(points);
    row.notes.push(String::from(
        "replicas start together on a backlog: what they lose by rebalancing is within their numbers",
    ));
    plot::growth(&context.out.join("growth.svg"), &points)?;
    Ok(row)
}

fn measure(context: &Context, dimension: Dimension, value: u32) -> Result<Point> {
    let few = context.scale(200_000, 20_000);
    let mut load = backlog::load(context);
    let mut target = few;
    let mut replicas = 1;
    let mut writers = None;
    match dimension {
        Dimension::Partitions => {
            load.partitions = value;
            // The topic of the other rows has six of them, and enough in it.
            if value != 6 {
                load.count = few;
            }
        }
        Dimension::Replicas => {
            replicas = value;
            // Long enough for a rebalance to be a small part of it.
            target = context.scale(600_000, 20_000);
        }
        Dimension::MessageBytes if value > 167 => {
            load = of_size(context, value);
            target = load.count;
        }
        Dimension::MessageBytes => {}
        Dimension::Writers => writers = Some(value),
    }
    let topic = context.topic(load)?;
    let runs = (1..=context.rounds.min(ROUNDS))
        .map(|round| {
            let name = dimension.name().replace(' ', "_");
            let mut job = Job::new(&topic, &format!("bench_{name}_{value}_{round}"), BATCH_SIZE);
            job.writers = writers;
            observe::run(context, &System::Worker, replicas, &job, target)
        })
        .collect::<Result<Vec<Run>>>()?;
    let summary = |value: fn(&Run) -> f64| {
        Summary::of(&runs.iter().map(value).collect::<Vec<f64>>()).ok_or("nothing was measured")
    };
    Ok(Point {
        dimension,
        value,
        throughput: summary(|run| run.messages_per_second)?,
        cpu: summary(|run| run.cpu_microseconds_per_message)?,
        runs,
    })
}

/// Some 500 MB at most.
fn of_size(context: &Context, bytes: u32) -> Load {
    let count = match bytes {
        ..5000 => 200_000,
        5000..50_000 => 50_000,
        50_000.. => 5000,
    };
    Load {
        partitions: 6,
        count: count / context.scale(1, 10),
        size: bytes,
    }
}
