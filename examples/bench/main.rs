//! The benchmark: the worker against what its libraries allow at most, against targets, and against other
//! systems, each watched from outside in the same way. scripts/bench starts the servers and calls this.

mod context;
mod document;
mod http;
mod machine;
mod observe;
mod plot;
mod probe;
mod process;
mod report;
mod rows;
mod statistics;
mod systems;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use context::Context;
use report::Row;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measure the worker; scripts/bench has the options to use.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = list())]
struct Arguments {
    /// Kafka's bootstrap servers.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    brokers: String,
    /// Where MongoDB is.
    #[arg(long, env = "MONGODB_URI")]
    mongodb: String,
    /// The folder of the project.
    #[arg(long, default_value = ".")]
    project: PathBuf,
    /// Where cargo put the release binaries.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// Where results.json, the plots and the logs go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// How often each system is measured. [default: 7, with --quick 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only these rows.
    #[arg(long, value_delimiter = ',', value_parser = rows::ALL.map(|row| row.name))]
    rows: Vec<String>,
    /// Another system to measure beside the worker, by its script in scripts/peers; may be repeated.
    #[arg(long = "peer", value_name = "NAME")]
    peers: Vec<String>,
    /// Tiny counts, to try the machinery: the numbers mean nothing.
    #[arg(long)]
    quick: bool,
    /// Exit with 1 where a target is missed.
    #[arg(long)]
    check: bool,
    /// Write the results into this Markdown document, too.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The version of Kafka, for the record.
    #[arg(long, default_value = "unknown")]
    kafka_version: String,
}

impl Arguments {
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
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether all rows could be measured and, if that is to be checked, met their targets.
fn run(arguments: &Arguments) -> Result<bool> {
    let context = Context::new(arguments)?;
    let machine = machine::describe(&context, &arguments.kafka_version)?;
    println!("machine: {machine}\n");
    let mut measured: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    for entry in rows::ALL {
        if !arguments.rows.is_empty() && arguments.rows.iter().all(|name| name != entry.name) {
            continue;
        }
        context.say(&format!("{} (about {})", entry.name, entry.estimate));
        match (entry.run)(&context) {
            Ok(row) => {
                println!("{row}");
                measured.push(row);
            }
            Err(error) => {
                context.say(&format!("{} failed: {error}", entry.name));
                failed.push(json!({ "name": entry.name, "error": error.to_string() }));
            }
        }
        // After each row: what is measured stays, whatever comes.
        let results = json!({
            "date": jiff::Timestamp::now().to_string(),
            "quick": context.quick,
            "rounds": context.rounds,
            "machine": machine,
            "rows": measured,
            "failed": failed,
        });
        std::fs::write(
            context.out.join("results.json"),
            serde_json::to_string_pretty(&results)?,
        )?;
    }
    plot::backlog(&context.out.join("backlog.svg"), &measured)?;
    if let Some(path) = &arguments.document {
        document::update(path, &machine, context.rounds, &measured)?;
    }
    let are_met = measured.iter().all(Row::is_met);
    Ok(failed.is_empty() && (are_met || !arguments.check))
}

/// Waits by the clock: a measurement keeps time.
pub fn pause(duration: Duration) {
    let started = Instant::now();
    while let Some(left) = duration.checked_sub(started.elapsed()) {
        // It may end early.
        thread::park_timeout(left);
    }
}
