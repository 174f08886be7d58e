//! Catches signals, reads the arguments, executes the command and returns its exit code; nothing else.

use clap::Parser;
use kafka_mongo_consumer::{CaughtSignals, Cli, end_process, execute};

fn main() -> ! {
    let signals = CaughtSignals::catch();
    let result = execute(&Cli::parse(), signals);
    end_process(result.map_or_else(|failure| failure.exit_code().into(), |()| 0))
}
