//! A backlog of small messages: the worker against its ceiling and, if asked to, against other systems.

use serde_json::json;

use super::Outcome;
use crate::context::{Context, Load};
use crate::observe::{self, Run};
use crate::process::Stop;
use crate::report::{Quantity, Row, Target};
use crate::systems::{Job, System};

/// The load of the topic that several rows read.
pub fn load(context: &Context) -> Load {
    Load {
        partitions: 6,
        count: context.scale(1_000_000, 20_000),
        size: 0,
    }
}

/// A system that the worker is compared with, and the ratios of all rounds in which both succeeded.
struct Rival<'a> {
    system: &'a System,
    throughput_ratio: Vec<f64>,
    cpu_ratio: Vec<f64>,
}

pub fn run(context: &Context, batch_size: u32) -> Outcome {
    let load = load(context);
    let topic = context.topic(load)?;
    let mut systems = vec![System::Worker, System::BareLoop];
    systems.extend(context.peers.iter().cloned());
    let title = format!("{} messages wait, batches of {batch_size}", load.count);
    let mut row = Row::new(&format!("backlog-{batch_size}"), &title);
    for system in &systems {
        row.settings[system.name()] = system.settings(context, batch_size)?;
    }

    let mut rounds: Vec<Vec<Run>> = Vec::new();
    for round in 1..=context.rounds {
        // The order alternates, so that effects of one run on the next favour no system.
        let mut order: Vec<&System> = systems.iter().collect();
        if round % 2 == 0 {
            order.reverse();
        }
        let mut runs = Vec::new();
        for system in order {
            let name = format!("bench_backlog_{batch_size}_{}_{round}", system.name());
            let job = Job::new(&topic, &name, batch_size);
            match observe::run(context, system, 1, &job, load.count) {
                Ok(run) => {
                    context.say(&format!(
                        "round {round}: {} {:.0} messages/s, {:.1} µs CPU a message",
                        run.system, run.messages_per_second, run.cpu_microseconds_per_message
                    ));
                    if run.stops.contains(&Stop::Killed) {
                        row.notes
                            .push(format!("round {round}: {} had to be killed", run.system));
                    }
                    runs.push(run);
                }
                // A failure must not discard hours of measurements of the other systems.
                Err(error) => row
                    .notes
                    .push(format!("round {round}, {}: {error}", system.name())),
            }
        }
        rounds.push(runs);
    }
    row.observations = json!(rounds);
    figures(&mut row, &systems, &rounds);
    judge(&mut row, batch_size, &rivals(&systems, &rounds));
    Ok(row)
}

fn figures(row: &mut Row, systems: &[System], rounds: &[Vec<Run>]) {
    for system in systems {
        let all = |value: fn(&Run) -> f64| -> Vec<f64> {
            rounds
                .iter()
                .filter_map(|runs| find(runs, system).map(value))
                .collect()
        };
        let name = system.name();
        row.figure(
            name,
            Quantity::Throughput,
            &all(|run| run.messages_per_second),
        );
        row.figure(
            name,
            Quantity::Cpu,
            &all(|run| run.cpu_microseconds_per_message),
        );
        row.figure(name, Quantity::PeakRss, &all(|run| run.peak_rss_mib));
    }
}

fn find<'a>(runs: &'a [Run], system: &System) -> Option<&'a Run> {
    runs.iter().find(|run| run.system == system.name())
}

/// Ratios within each round: the noise of a round affects both systems.
fn rivals<'a>(systems: &'a [System], rounds: &[Vec<Run>]) -> Vec<Rival<'a>> {
    let others = systems.iter().filter(|system| **system != System::Worker);
    others
        .map(|system| {
            let mut rival = Rival {
                system,
                throughput_ratio: Vec::new(),
                cpu_ratio: Vec::new(),
            };
            for runs in rounds {
                if let (Some(worker), Some(other)) =
                    (find(runs, &System::Worker), find(runs, system))
                {
                    rival
                        .throughput_ratio
                        .push(worker.messages_per_second / other.messages_per_second);
                    rival.cpu_ratio.push(
                        worker.cpu_microseconds_per_message / other.cpu_microseconds_per_message,
                    );
                }
            }
            rival
        })
        .collect()
}

fn judge(row: &mut Row, batch_size: u32, rivals: &[Rival<'_>]) {
    for rival in rivals {
        let pair = format!("worker / {}", rival.system.name());
        let throughput = row.figure(&pair, Quantity::ThroughputRatio, &rival.throughput_ratio);
        let median = throughput.map(|ratio| ratio.median);
        let cpu = row.figure(&pair, Quantity::CpuRatio, &rival.cpu_ratio);
        let cpu = cpu.map(|ratio| ratio.median);
        let (throughput_name, cpu_name) = (
            format!("{pair} throughput, median"),
            format!("{pair} CPU, median"),
        );
        match rival.system {
            System::BareLoop => {
                row.judge(&throughput_name, median, Target::AtLeast(0.95));
                let quartile = throughput.map(|ratio| ratio.lower_quartile);
                let name = format!("{pair} throughput, lower quartile");
                row.judge(&name, quartile, Target::AtLeast(0.9));
                row.judge(&cpu_name, cpu, Target::AtMost(1.25));
            }
            System::Peer(name) if name == "kafka_connect" => {
                let bound = if batch_size < 1000 { 1.15 } else { 1.3 };
                row.judge(&throughput_name, median, Target::AtLeast(bound));
                row.judge(&cpu_name, cpu, Target::AtMost(0.25));
            }
            // The other systems are shown without a target.
            System::Peer(_) | System::Worker => {}
        }
    }
    let peak = row.summary_of("worker", Quantity::PeakRss);
    let peak = peak.map(|summary| summary.max);
    row.judge("worker peak RSS MiB, greatest", peak, Target::AtMost(64.0));
}
