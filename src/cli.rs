//! The command line: definitions alone. What a command does is not here.

mod moment;
mod place;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::core::rejection::Reason;

pub use moment::Moment;
pub use place::Place;

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
    /// Print the JSON Schema of the configuration file, for editors; reads no configuration.
    PrintSchema,
    /// Prove of each message of the topic that it is in MongoDB, the same, or in the dead letter topic.
    ///
    /// Reads the topic outside of the group, up to its present end, and changes nothing. Exit code 0 if
    /// nothing is missing or altered, else 1.
    Audit(Audit),
    /// Look at the dead letter topic, or bring home what is in it.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Audit {
    /// Begin with the messages of this time on, by their own timestamps.
    #[arg(long, value_name = "AGE|TIME", conflicts_with_all = ["from_offsets", "from_beginning"])]
    pub since: Option<Moment>,
    /// Begin at these offsets; partitions that aren't named are left out.
    #[arg(
        long,
        value_name = "PARTITION:OFFSET,…",
        value_delimiter = ',',
        conflicts_with = "from_beginning"
    )]
    pub from_offsets: Vec<Place>,
    /// Begin with the oldest messages that are left; the default.
    #[arg(long)]
    pub from_beginning: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Name at most so many of the missing or altered messages.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit_report: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DeadLetters {
    /// Count the dead letters by reason, topic and partition.
    List(ListDeadLetters),
    /// Show one dead letter: its headers, key and value.
    Show(ShowDeadLetter),
    /// Write the dead letters of one reason into MongoDB again, or to a topic.
    ///
    /// Goes up to the present end of the dead letter topic, and may run beside the workers. Where it got
    /// to is kept in Kafka, for the group `<group_id>.replay.<reason>`: the next run goes on there.
    Replay(ReplayDeadLetters),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListDeadLetters {
    /// Only those of this reason.
    #[arg(long, value_parser = reasons())]
    pub reason: Option<Reason>,
    /// Only those that come from this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Only those that come from this partition.
    #[arg(long)]
    pub partition: Option<i32>,
    /// Only those that failed at this time or later.
    #[arg(long, value_name = "AGE|TIME")]
    pub since: Option<Moment>,
    /// Only those that failed before this time.
    #[arg(long, value_name = "AGE|TIME")]
    pub until: Option<Moment>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ShowDeadLetter {
    /// Its partition in the dead letter topic.
    pub partition: i32,
    /// Its offset in the dead letter topic.
    pub offset: i64,
    /// Write the bytes of its value to standard output, and nothing else.
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReplayDeadLetters {
    /// Those of this reason.
    #[arg(long, value_parser = reasons())]
    pub reason: Reason,
    /// Pass over those that failed before this time.
    #[arg(long, value_name = "AGE|TIME")]
    pub since: Option<Moment>,
    /// Stop after so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only count what would be replayed.
    #[arg(long)]
    pub dry_run: bool,
    /// Pass over those that were replayed so often already.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub max_replays: u32,
    /// Begin with the oldest dead letter, not where the last replay of this reason got to.
    #[arg(long)]
    pub from_beginning: bool,
    /// Publish them to this topic, without the headers of the dead letter, in place of storing them.
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str))
        .try_map(|code| Reason::from_code(&code).ok_or_else(|| format!("`{code}` is no reason")))
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

    fn parse(arguments: &str) -> Result<Command, clap::Error> {
        let arguments = ["kafka-mongo-consumer"]
            .into_iter()
            .chain(arguments.split(' '));
        Cli::try_parse_from(arguments).map(|cli| cli.command())
    }

    #[test]
    fn an_audit_begins_in_one_way() {
        let Ok(Command::Audit(audit)) = parse("audit --from-offsets 0:5,3:17 --json") else {
            panic!("an audit");
        };
        let places: Vec<String> = audit.from_offsets.iter().map(Place::to_string).collect();
        assert_eq!(places, ["0:5", "3:17"]);
        assert!(audit.json);
        assert_eq!(audit.limit_report, 20);
        for contradiction in [
            "audit --since 1h --from-beginning",
            "audit --since 1h --from-offsets 0:5",
            "audit --from-beginning --from-offsets 0:5",
            "audit --from-offsets 0",
            "audit --since yesterday",
        ] {
            assert_eq!(
                parse(contradiction).unwrap_err().exit_code(),
                2,
                "{contradiction}"
            );
        }
    }

    #[test]
    fn a_replay_is_of_a_known_reason() {
        let Ok(Command::DeadLetters(DeadLetters::Replay(replay))) =
            parse("dead-letters replay --reason mongodb_unavailable --limit 5")
        else {
            panic!("a replay");
        };
        assert_eq!(replay.reason, Reason::MongodbUnavailable);
        assert_eq!((replay.limit, replay.max_replays), (Some(5), 3));
        for wrong in [
            "dead-letters replay",
            "dead-letters replay --reason mongodb_unavailble",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn a_usage_error_exits_with_2() {
        let error = Cli::try_parse_from(["kafka-mongo-consumer", "chekc"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
