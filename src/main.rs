//! Catches signals, reads the arguments, executes the command and returns its exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use kafka_mongo_consumer::{CaughtSignals, Cli, execute};

fn main() -> ExitCode {
    let signals = CaughtSignals::catch();
    match execute(&Cli::parse(), signals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit_code(),
    }
}
