//! Arguments, run, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use kafka_mongo_consumer::{Cli, execute};

fn main() -> ExitCode {
    match execute(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit_code(),
    }
}
