//! A MongoDB that takes 50 ms more for each insert: the writers must wait in parallel.

use serde_json::json;

use super::Outcome;
use crate::Result;
use crate::context::{Context, Load};
use crate::fail_point::{DELAY_MS, FailPoint};
use crate::observe::{self, Run};
use crate::report::{Quantity, Row, Target};
use crate::statistics::float;
use crate::systems::{Job, System};

const BATCH_SIZE: u32 = 100;
const WRITERS: [u32; 3] = [1, 4, 16];

pub fn run(context: &Context) -> Outcome {
    let seconds = context.scale(8, 1);
    // The highest rate of so many writers, if they wait for nothing but the delay.
    let rate = |writers: u32| writers * BATCH_SIZE * 1000 / DELAY_MS;
    let load = Load {
        partitions: 1,
        count: u64::from(rate(16) * seconds),
        size: 0,
    };
    let topic = context.topic(load)?;
    let title =
        format!("each insert takes {DELAY_MS} ms more, batches of {BATCH_SIZE}, 1 partition");
    let mut row = Row::new("delayed", &title);
    row.settings["worker"] = System::Worker.settings(context, BATCH_SIZE)?;
    row.settings["consumer.writer_threads"] = json!(WRITERS);
    let delay = FailPoint::delay(&context.client)?;
    for writers in WRITERS {
        let target = u64::from(rate(writers) * seconds);
        let runs = (1..=context.rounds.min(3))
            .map(|round| {
                let name = format!("bench_delayed_{writers}_{round}");
                let mut job = Job::new(&topic, &name, BATCH_SIZE);
                job.writers = Some(writers);
                observe::run(context, &System::Worker, 1, &job, target)
            })
            .collect::<Result<Vec<Run>>>()?;
        let subject = format!("{writers} writers");
        row.observations[&subject] = json!(runs);
        let rates: Vec<f64> = runs.iter().map(|run| run.messages_per_second).collect();
        let throughput = row.figure(&subject, Quantity::Throughput, &rates);
        let share = throughput.map(|throughput| throughput.median / float(rate(writers).into()));
        let what = format!("{subject}, share of {}/s", rate(writers));
        row.judge(&what, share, Target::AtLeast(0.9));
    }
    delay.disable()?;
    Ok(row)
}
