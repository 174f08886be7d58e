//! A MongoDB that takes 50 ms more for each insert: the writers must wait in parallel.

use bson::{Document, doc};
use mongodb::sync::Client;
use serde_json::json;

use super::Outcome;
use crate::Result;
use crate::context::{Context, Load};
use crate::observe::{self, Run};
use crate::report::{Quantity, Row, Target};
use crate::statistics::float;
use crate::systems::{Job, System};

pub const DELAY_MS: u32 = 50;
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
    let delay = Delay::enable(&context.client)?;
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

/// A fail point of mongod that delays the worker's inserts and no others.
pub struct Delay<'a> {
    client: &'a Client,
    is_on: bool,
}

impl<'a> Delay<'a> {
    pub fn enable(client: &'a Client) -> Result<Self> {
        let data = doc! {
            "failCommands": ["insert"], "appName": "kafka-mongo-consumer",
            "blockConnection": true, "blockTimeMS": i64::from(DELAY_MS),
        };
        configure(client, doc! { "mode": "alwaysOn", "data": data })?;
        Ok(Self {
            client,
            is_on: true,
        })
    }

    pub fn disable(mut self) -> Result<()> {
        self.is_on = false;
        configure(self.client, doc! { "mode": "off" })
    }
}

impl Drop for Delay<'_> {
    fn drop(&mut self) {
        // After a failure of this row, other rows must not be delayed.
        if self.is_on
            && let Err(error) = configure(self.client, doc! { "mode": "off" })
        {
            eprintln!("bench: the delay could not be ended: {error}");
        }
    }
}

fn configure(client: &Client, settings: Document) -> Result<()> {
    let mut command = doc! { "configureFailPoint": "failCommand" };
    command.extend(settings);
    client.database("admin").run_command(command).run()?;
    Ok(())
}
