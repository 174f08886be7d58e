//! The command line: definitions alone. What a command does is not here.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Stores the JSON messages of a Kafka topic in MongoDB, each once, unchanged, and loses none.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "kafka-mongo-consumer", version)]
pub struct Cli {
    /// The configuration file; `CONSUMER__…` environment variables go over it.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "CONSUMER_CONFIG",
        default_value = "config.json"
    )]
    pub config: PathBuf,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Consume and store until told to stop; the default.
    #[default]
    Run,
    /// Check the configuration and print it as it takes effect, without its secrets.
    Check,
}

impl Cli {
    /// The command that was given, or the default.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_file_can_be_named_before_and_after_the_command() {
        for (arguments, config, command) in [
            (vec!["--config", "a.json"], "a.json", Command::Run),
            (vec!["--config", "a.json", "run"], "a.json", Command::Run),
            (
                vec!["--config", "a.json", "check"],
                "a.json",
                Command::Check,
            ),
            (vec!["check", "--config=a.json"], "a.json", Command::Check),
        ] {
            let cli = Cli::try_parse_from([vec!["kafka-mongo-consumer"], arguments].concat());
            let cli = cli.unwrap();
            assert_eq!(cli.config, Path::new(config));
            assert_eq!(cli.command(), command);
        }
    }

    #[test]
    fn the_file_is_config_json_unless_a_variable_names_another() {
        let definitions = <Cli as CommandFactory>::command();
        let config = definitions
            .get_arguments()
            .find(|argument| argument.get_id() == "config")
            .unwrap();
        assert_eq!(config.get_default_values(), ["config.json"]);
        assert_eq!(config.get_env().unwrap(), "CONSUMER_CONFIG");
    }

    #[test]
    fn a_usage_error_exits_with_2() {
        let error = Cli::try_parse_from(["kafka-mongo-consumer", "chekc"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
