//! The subcommands. Each starts from the loaded configuration.

mod audit;
mod check;
mod dead_letters;
mod health;
mod output;
mod print_schema;
mod run;
mod servers;
mod workers;

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use log::LevelFilter;

use output::print_failure;

use crate::cli::{Cli, Command, completions, manual};
use crate::config::Config;
use crate::failure::Failure;
use crate::kafka::is_log_noise;
use crate::observe::log::{self as worker_log, LogFormat};
use crate::runtime::{CaughtSignals, check_open_files};

/// Executes the command of the command line. `signals` were caught before the command line was read. A failure is
/// already logged or printed when this returns, and carries the exit code.
pub fn execute(cli: &Cli, signals: Result<CaughtSignals, Failure>) -> Result<(), Failure> {
    let signals = signals.inspect_err(print_failure)?;
    let config = || load(&cli.config);
    match cli.command() {
        Command::Run => run::run(config()?, signals),
        Command::Check => {
            signals.release();
            check::check(&config()?).inspect_err(print_failure)
        }
        Command::PrintConfig => {
            signals.release();
            check::print_config(&config()?).inspect_err(print_failure)
        }
        Command::Status(arguments) => {
            signals.release();
            workers::status(&arguments, config).inspect_err(print_failure)
        }
        Command::Top(arguments) => {
            signals.release();
            workers::top(&arguments, config).inspect_err(print_failure)
        }
        Command::Pause(arguments) => {
            signals.release();
            workers::pause(&config()?, arguments.reason).inspect_err(print_failure)
        }
        Command::Resume => {
            signals.release();
            workers::resume(&config()?).inspect_err(print_failure)
        }
        Command::Health(arguments) => {
            signals.release();
            health::health(&config()?, arguments).inspect_err(print_failure)
        }
        Command::Completions { shell } => {
            signals.release();
            output::print(&completions(shell)).inspect_err(print_failure)
        }
        Command::Man => {
            signals.release();
            manual()
                .map_err(|error| Failure::running("can't make the manual").because(error))
                .and_then(|manual| output::print(&manual))
                .inspect_err(print_failure)
        }
        Command::PrintSchema { of } => {
            signals.release();
            print_schema::print_schema(of).inspect_err(print_failure)
        }
        Command::Audit(arguments) => {
            signals.release();
            let config = config()?;
            run_for_operator(|| audit::audit(&config, &arguments))
        }
        Command::DeadLetters(command) => {
            let config = config()?;
            run_for_operator(|| dead_letters::execute(&config, command, signals))
        }
    }
}

fn load(file: &Path) -> Result<Config, Failure> {
    Config::load(file, env::vars_os()).map_err(|errors| {
        // Without a configuration there is no logger yet.
        worker_log::print(&errors.to_string());
        Failure::from(errors)
    })
}

/// Runs a command that an operator started and that ends by itself. It logs warnings and errors only, as
/// text, and prints the failure.
fn run_for_operator(command: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    worker_log::init(LevelFilter::Warn, LogFormat::Text, None, is_log_noise)
        .map_err(|error| Failure::running(error.to_string()))
        .and_then(|()| check_open_files())
        .and_then(|()| command())
        .inspect_err(|failure| {
            worker_log::report_suppressed(Instant::now(), Duration::ZERO);
            worker_log::flush();
            print_failure(failure);
        })
}
