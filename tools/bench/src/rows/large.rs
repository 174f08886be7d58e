//! Large messages in large batches: memory must stay bounded.

use serde_json::json;

use super::Outcome;
use crate::context::{Context, Load};
use crate::observe::{self, Run};
use crate::report::{Quantity, Row, Target};
use crate::systems::{Job, System};

pub fn run(context: &Context) -> Outcome {
    let load = Load {
        partitions: 6,
        count: context.scale(2000, 60),
        size: 1_000_000,
    };
    let topic = context.topic(load)?;
    let runs = (1..=context.rounds.min(3))
        .map(|round| {
            let job = Job::new(&topic, &format!("bench_large_{round}"), 1000);
            observe::run(context, &System::Worker, 1, &job, load.count)
        })
        .collect::<crate::Result<Vec<Run>>>()?;

    let title = format!("{} messages of 1 MB wait, batches of 1000", load.count);
    let mut row = Row::new("large", &title);
    row.settings["worker"] = System::Worker.settings(context, 1000)?;
    row.observations = json!(runs);
    let all = |value: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(value).collect() };
    row.figure(
        "worker",
        Quantity::Throughput,
        &all(|run| run.messages_per_second),
    );
    let peak = row.figure("worker", Quantity::PeakRss, &all(|run| run.peak_rss_mib));
    let peak = peak.map(|peak| peak.max);
    row.judge("worker peak RSS MiB, greatest", peak, Target::AtMost(256.0));
    Ok(row)
}
