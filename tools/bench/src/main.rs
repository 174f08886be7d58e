//! The benchmark: the worker compared with the most that its libraries allow, with targets, and with other
//! systems. Every system is watched from outside in the same way. scripts/bench starts the servers and this.

mod context;
mod document;
mod fail_point;
mod http;
mod machine;
mod observe;
mod plot;
mod probe;
mod process;
mod report;
mod results;
mod rows;
mod statistics;
mod systems;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use context::Context;
use report::Row;
use results::Results;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measure the worker, and publish what was measured; scripts/bench does both.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = list())]
    Measure(Measure),
    Publish(Publish),
}

/// Measure rows, and write the results and plots into a folder.
#[derive(Debug, Args)]
struct Measure {
    /// Kafka's bootstrap servers.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    brokers: String,
    /// Where MongoDB is.
    #[arg(long, env = "MONGODB_URI")]
    mongodb: String,
    /// The folder of the project.
    #[arg(long, default_value = ".")]
    project: PathBuf,
    /// The folder with the release binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// The folder for results.json, the plots and the logs.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// How often each system is measured. [default: 7, with --quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only these rows; what an earlier run has written about the others stays.
    #[arg(long, value_delimiter = ',', value_parser = rows::ALL.map(|row| row.name))]
    rows: Vec<String>,
    /// Another system to measure beside the worker, by its script in scripts/peers; may be repeated.
    #[arg(long = "peer", value_name = "NAME")]
    peers: Vec<String>,
    /// Tiny counts, to try the benchmark itself: the numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// Exit with 1 where a target is missed.
    #[arg(long)]
    check: bool,
    /// The version of Kafka, for the record.
    #[arg(long, default_value = "unknown")]
    kafka_version: String,
}

/// Put the results of a run into the documentation: the tables, the plots, and the numbers behind them.
#[derive(Debug, Args)]
struct Publish {
    /// The results.json of the run.
    #[arg(long, default_value = "target/bench/results.json")]
    results: PathBuf,
    /// The Markdown document that gets all tables.
    #[arg(long, default_value = "docs/PERFORMANCE.md")]
    document: PathBuf,
    /// A Markdown document that gets the table of the systems; may be repeated.
    #[arg(long = "comparison", value_name = "FILE")]
    comparisons: Vec<PathBuf>,
    /// The folder that gets the plots, and the results without the single observations.
    #[arg(long, default_value = "docs/performance")]
    out: PathBuf,
}

impl Measure {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 7 })
    }
}

fn list() -> String {
    let mut text =
        String::from("Rows, and about how long each takes with 7 rounds on two cores:\n");
    for row in rows::ALL {
        writeln!(text, "  {:<18}{:<24}{}", row.name, row.estimate, row.about)
            .expect("a String takes all");
    }
    text
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Measure(arguments) => measure(&arguments),
        Command::Publish(arguments) => publish(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether all rows could be measured and, if that is to be checked, met their targets.
fn measure(arguments: &Measure) -> Result<bool> {
    let context = Context::new(arguments)?;
    let machine = machine::describe(&context, &arguments.kafka_version)?;
    println!("machine: {machine}\n");
    let mut results = Results {
        date: Timestamp::now().to_string(),
        quick: context.quick,
        rounds: context.rounds,
        machine,
        settings: Value::Null,
        rows: Vec::new(),
        failed: Vec::new(),
    };
    let file = context.out.join("results.json");
    if !arguments.rows.is_empty() {
        results.rows = results.rows_of_earlier_run(&file);
        if results.rows.is_empty() {
            context.say("no other rows of an earlier run can stay");
        }
        results
            .rows
            .retain(|row| !arguments.rows.contains(&row.name));
    }
    let is_wanted = |name: &str| {
        arguments.rows.is_empty() || arguments.rows.iter().any(|wanted| wanted == name)
    };
    for entry in rows::ALL {
        if !is_wanted(entry.name) {
            continue;
        }
        context.say(&format!("{} (about {})", entry.name, entry.estimate));
        match (entry.run)(&context) {
            Ok(mut row) => {
                println!("{row}");
                row.date = Timestamp::now().to_string();
                results.add(row, &rows::ALL.map(|row| row.name));
            }
            Err(error) => {
                context.say(&format!("{} failed: {error}", entry.name));
                let failure = json!({ "name": entry.name, "error": error.to_string() });
                results.failed.push(failure);
            }
        }
        // Written after each row, so that a later failure loses nothing.
        results.date = Timestamp::now().to_string();
        results.write(&file)?;
    }
    plot::draw_all(&context.out, &results.rows)?;
    let mut measured = results.rows.iter().filter(|row| is_wanted(&row.name));
    let are_met = measured.all(Row::is_met);
    Ok(results.failed.is_empty() && (are_met || !arguments.check))
}

fn publish(arguments: &Publish) -> Result<bool> {
    let results = Results::read(&arguments.results)?.published();
    std::fs::create_dir_all(&arguments.out)?;
    results.write(&arguments.out.join("results.json"))?;
    plot::draw_all(&arguments.out, &results.rows)?;
    document::update(&arguments.document, &results)?;
    for comparison in &arguments.comparisons {
        document::update_comparison(comparison, &results)?;
    }
    Ok(true)
}

/// Waits for a fixed time: measurements run by the clock.
pub fn pause(duration: Duration) {
    let started = Instant::now();
    while let Some(left) = duration.checked_sub(started.elapsed()) {
        // It may end early.
        thread::park_timeout(left);
    }
}
