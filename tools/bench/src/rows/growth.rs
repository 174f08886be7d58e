//! How throughput and cost depend on partitions, replicas, the size of messages, and writers.

use serde_json::json;

use super::{Outcome, backlog};
use crate::Result;
use crate::context::{Context, Load};
use crate::observe::{self, Run};
use crate::plot::number_on_axis;
use crate::report::{Quantity, Row};
use crate::systems::{Job, System};

pub const NAME: &str = "growth";

const BATCH_SIZE: u32 = 1000;
const ROUNDS: u32 = 3;

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// The name of the figures at this value.
    fn subject(self, value: u32) -> String {
        format!("{value} {}", self.name())
    }

    /// The value in the name of a figure, as a plot shows it, if the figure belongs to this dimension.
    pub fn value_of(self, subject: &str) -> Option<String> {
        let value: u32 = subject
            .strip_suffix(self.name())?
            .strip_suffix(' ')?
            .parse()
            .ok()?;
        Some(number_on_axis(value.into()))
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

pub fn run(context: &Context) -> Outcome {
    let mut row = Row::new(
        NAME,
        "with 6 partitions, 1 replica, messages of 167 bytes and the default writers, but for what is varied",
    );
    row.settings["worker"] = System::Worker.settings(context, BATCH_SIZE)?;
    for dimension in Dimension::ALL {
        for &value in dimension.values() {
            let runs = measure(context, dimension, value)?;
            let subject = dimension.subject(value);
            let all = |value: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(value).collect() };
            let throughput = row.figure(
                &subject,
                Quantity::Throughput,
                &all(|run| run.messages_per_second),
            );
            let cpu = row.figure(
                &subject,
                Quantity::Cpu,
                &all(|run| run.cpu_microseconds_per_message),
            );
            let (throughput, cpu) = throughput.zip(cpu).ok_or("nothing was measured")?;
            context.say(&format!(
                "{subject}: {:.0} messages/s, {:.1} µs CPU a message",
                throughput.median, cpu.median
            ));
            row.observations[&subject] = json!(runs);
        }
    }
    row.notes.push(String::from(
        "replicas start together on a backlog: their numbers include the time of the rebalances",
    ));
    Ok(row)
}

fn measure(context: &Context, dimension: Dimension, value: u32) -> Result<Vec<Run>> {
    let few = context.scale(200_000, 20_000);
    let mut load = backlog::load(context);
    let mut target = few;
    let mut replicas = 1;
    let mut writers = None;
    match dimension {
        Dimension::Partitions => {
            load.partitions = value;
            // The other rows' topic has six partitions, and enough messages.
            if value != 6 {
                load.count = few;
            }
        }
        Dimension::Replicas => {
            replicas = value;
            // Long enough for the rebalances to be a small part of it.
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
    (1..=context.rounds.min(ROUNDS))
        .map(|round| {
            let name = dimension.name().replace(' ', "_");
            let mut job = Job::new(&topic, &format!("bench_{name}_{value}_{round}"), BATCH_SIZE);
            job.writers = writers;
            observe::run(context, &System::Worker, replicas, &job, target)
        })
        .collect()
}

/// At most about 500 MB.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_the_name_of_its_figure() {
        for dimension in Dimension::ALL {
            let subject = dimension.subject(10_000);
            assert_eq!(dimension.value_of(&subject).as_deref(), Some("10,000"));
        }
        assert_eq!(Dimension::Writers.value_of("4 replicas"), None);
    }
}
