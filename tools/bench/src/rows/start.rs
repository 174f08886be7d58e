//! How long a start takes while all servers run: from the start of the process to the first document.

use serde_json::json;

use super::{Outcome, backlog};
use crate::context::Context;
use crate::observe;
use crate::report::{Quantity, Row, Target};
use crate::systems::{BatchSize, Job, System};

pub fn run(context: &Context) -> Outcome {
    let topic = context.topic(backlog::load(context))?;
    let tries = context.scale(10, 2);
    let start = |number: u32| {
        let job = Job::new(
            &topic,
            &format!("bench_start_{number}"),
            BatchSize::AsShipped,
        );
        observe::start_seconds(context, &System::Worker, &job)
    };
    // The broker creates its topic of committed offsets for the first group, so the first start doesn't count.
    start(0)?;
    let seconds = (1..=tries)
        .map(start)
        .collect::<crate::Result<Vec<f64>>>()?;

    let mut row = Row::new(
        "start",
        "from the start of the process to the first document",
    );
    row.settings["worker"] = System::Worker.settings(context, BatchSize::AsShipped)?;
    row.observations = json!(seconds);
    let start = row.figure("worker", Quantity::Start, &seconds);
    let slowest = start.map(|start| start.max);
    row.judge("slowest start, s", slowest, Target::AtMost(2.0));
    Ok(row)
}
