//! The subcommands. Each starts from the loaded configuration.

mod audit;
mod check;
mod dead_letters;
mod health;
mod look_up;
mod offsets;
mod output;
mod print_schema;
mod run;
mod servers;
mod topic_log;
mod workers;

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use log::LevelFilter;

use output::print_failure;

use crate::cli::{Cli, Command, completions, manual};
use crate::config::Config;
use crate::failure::Failure;
use crate::kafka::{is_log_noise, property_errors};
use crate::observe::log as worker_log;
use crate::runtime::{CaughtSignals, check_open_files};

/// Executes the command of the command line. `signals` were caught before the command line was read. A failure is
/// already logged or printed when this returns, and carries the exit code.
pub fn execute(cli: &Cli, signals: Result<CaughtSignals, Failure>) -> Result<(), Failure> {
    let signals = signals.inspect_err(print_failure)?;
    let load = || load(&cli.config);
    match cli.command() {
        Command::Run => run::run(load()?, &cli.config, signals),
        Command::Check(arguments) if arguments.needs_servers() => {
            signals.release();
            run_for_operator(&load()?, |config| check::check_servers(config, &arguments))
        }
        Command::Check(_) => {
            signals.release();
            run_without_log(&load()?, check::check)
        }
        Command::PrintConfig => {
            signals.release();
            run_without_log(&load()?, check::print_config)
        }
        Command::Status(arguments) => {
            signals.release();
            workers::status(&arguments, load).inspect_err(print_failure)
        }
        Command::Top(arguments) => {
            signals.release();
            workers::top(&arguments, load).inspect_err(print_failure)
        }
        Command::Pause(arguments) => {
            signals.release();
            workers::pause(arguments, load).inspect_err(print_failure)
        }
        Command::Resume(arguments) => {
            signals.release();
            workers::resume(arguments, load).inspect_err(print_failure)
        }
        Command::Health(arguments) => {
            signals.release();
            run_without_log(&load()?, |config| health::health(config, arguments))
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
            run_for_operator(&load()?, |config| audit::audit(config, &arguments, signals))
        }
        Command::DeadLetters(command) => run_for_operator(&load()?, |config| {
            dead_letters::execute(config, command, signals)
        }),
        Command::Offsets(command) => {
            signals.release();
            run_for_operator(&load()?, |config| offsets::execute(config, &command))
        }
    }
}

fn load(file: &Path) -> Result<Config, Failure> {
    let loaded = Config::load(file, env::vars_os()).and_then(|config| {
        let errors = property_errors(&config);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    });
    loaded.map_err(|errors| {
        // Without a configuration the format of the log isn't known.
        worker_log::print(&errors.to_string());
        Failure::from(errors)
    })
}

/// Runs a command that needs no log, and prints its failure.
fn run_without_log(
    config: &Config,
    command: impl FnOnce(&Config) -> Result<(), Failure>,
) -> Result<(), Failure> {
    output::use_configured_errors(config);
    command(config).inspect_err(print_failure)
}

/// Runs a command that an operator started and that ends by itself. It logs warnings and errors only, and prints the
/// failure.
fn run_for_operator(
    config: &Config,
    command: impl FnOnce(&Config) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let format = output::use_configured_errors(config);
    worker_log::init(LevelFilter::Warn, format, None, is_log_noise)
        .map_err(|error| Failure::running(error.to_string()))
        .and_then(|()| check_open_files())
        .and_then(|()| command(config))
        .inspect_err(|failure| {
            worker_log::report_suppressed(Instant::now(), Duration::ZERO);
            worker_log::flush();
            print_failure(failure);
        })
}
