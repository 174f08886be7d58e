//! Arguments, run, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use kafka_mongo_consumer::cli::Cli;
use kafka_mongo_consumer::commands;

fn main() -> ExitCode {
    match commands::execute(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit_code(),
    }
}
