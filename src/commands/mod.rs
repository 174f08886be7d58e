//! What each subcommand does, from the configuration on.

mod audit;
mod check;
mod dead_letters;
mod output;
mod run;

use std::env;
use std::io::{self, Write};

use log::LevelFilter;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::failure::Failure;
use crate::kafka::{ReadError, TopicReader};
use crate::mongo::MongoDbError;
use crate::observe::log::{self as worker_log, LogFormat};

/// Does what was asked for. A failure has been told to the operator already.
///
/// # Errors
/// Why it ended otherwise than as asked; it has the exit code.
pub fn execute(cli: &Cli) -> Result<(), Failure> {
    let config = Config::load(&cli.config, env::vars_os()).map_err(|errors| {
        // No log yet, since its format is part of what can't be used. Where standard error is closed
        // there is nobody to tell.
        let _ = writeln!(io::stderr(), "{errors}");
        Failure::from(errors)
    })?;
    match cli.command() {
        Command::Run => run::run(config),
        Command::Check => check::check(&config),
        Command::Audit(arguments) => by_an_operator(|| audit::audit(&config, &arguments)),
        Command::DeadLetters(command) => by_an_operator(|| dead_letters::execute(&config, command)),
    }
}

/// A command that ends by itself: of the log only what is wrong, for people.
fn by_an_operator(command: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    worker_log::init(LevelFilter::Warn, LogFormat::Text)
        .map_err(|error| Failure::running(error.to_string()))
        .and_then(|()| command())
        .inspect_err(|failure| output::tell(&format!("error: {}", failure.chain())))
}

/// A reader of `topic`, in the name of the worker's group, which it never joins.
fn reader_of(config: &Config, topic: &str) -> Result<TopicReader, Failure> {
    TopicReader::new(config, topic, &config.kafka.group_id)
        .map_err(|error| Failure::configuration("the consumer's settings").because(error))
}

fn unreachable_kafka(error: impl Into<ReadError>) -> Failure {
    Failure::kafka_unreachable().because(error.into())
}

fn failed_mongodb(error: MongoDbError) -> Failure {
    match error {
        MongoDbError::Refused(why) => Failure::mongodb_refused().because(why),
        MongoDbError::Unavailable(why) => Failure::mongodb_unreachable().because(why),
    }
}
