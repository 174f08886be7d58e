//! What each subcommand does, from the configuration on.

mod audit;
mod check;
mod dead_letters;
mod output;
mod print_schema;
mod run;

use std::env;
use std::io::{self, Write};
use std::path::Path;

use log::LevelFilter;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::kafka::{ReadError, TopicReader};
use crate::mongo::MongoDbError;
use crate::observe::log::{self as worker_log, LogFormat};
use crate::pipeline::Failure;

/// Does what was asked for. A failure has been told to the operator already.
///
/// # Errors
/// Why it ended otherwise than as asked; it has the exit code.
pub fn execute(cli: &Cli) -> Result<(), Failure> {
    let config = || load(&cli.config);
    match cli.command() {
        Command::Run => run::run(config()?),
        Command::Check => check::check(&config()?),
        Command::PrintSchema => print_schema::print_schema(),
        Command::Audit(arguments) => {
            let config = config()?;
            by_an_operator(|| audit::audit(&config, &arguments))
        }
        Command::DeadLetters(command) => {
            let config = config()?;
            by_an_operator(|| dead_letters::execute(&config, command))
        }
    }
}

fn load(file: &Path) -> Result<Config, Failure> {
    Config::load(file, env::vars_os()).map_err(|errors| {
        // No log yet, since its format is part of what can't be used. Where standard error is closed
        // there is nobody to tell.
        let _ = writeln!(io::stderr(), "{errors}");
        Failure::from(errors)
    })
}

/// A command that ends by itself: of the log only what is wrong, for people.
fn by_an_operator(command: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    worker_log::init(LevelFilter::Warn, LogFormat::Text)
        .map_err(|error| Failure::Running(error.to_string()))
        .and_then(|()| command())
        .inspect_err(|failure| output::tell(&format!("error: {failure}")))
}

/// A reader of `topic`, in the name of the worker's group, which it never joins.
fn reader_of(config: &Config, topic: &str) -> Result<TopicReader, Failure> {
    TopicReader::new(config, topic, &config.kafka.group_id)
        .map_err(|error| Failure::Setting(format!("the consumer's settings: {error}")))
}

fn unreachable_kafka(error: impl Into<ReadError>) -> Failure {
    Failure::KafkaUnreachable(error.into().to_string())
}

fn failed_mongodb(error: MongoDbError) -> Failure {
    match error {
        MongoDbError::Refused(why) => Failure::MongoDbRefused(why),
        MongoDbError::Unavailable(why) => Failure::MongoDbUnreachable(why),
    }
}
