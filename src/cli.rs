//! The definitions of the command line. What the commands do is in `commands`.

mod check;
mod generate;
mod moment;
mod offsets;
mod partition_offset;
mod worker_address;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use clap_complete::Shell;

use crate::core::rejection::Reason;

pub use check::Check;
pub use generate::{completions, manual};
pub use moment::Moment;
pub use offsets::{Offsets, ResetOffsets, ShowOffsets, TargetOffset};
pub use partition_offset::PartitionOffset;
pub use worker_address::WorkerAddress;

/// Stores the JSON messages of a Kafka topic in MongoDB: each message once, unchanged, none lost.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "kafka-mongo-consumer", version)]
pub struct Cli {
    /// The configuration file; environment variables named `CONSUMER__…` override it.
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

/// The command to execute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Consume messages and store them until stopped (the default command).
    #[default]
    #[command(after_help = "Example:\n  kafka-mongo-consumer --config /etc/consumer.json run")]
    Run,
    /// Check the configuration and print the values in effect, with secrets masked.
    ///
    /// With `--connect`, also checks what the worker needs of Kafka and MongoDB. With `--sample`, also tells what the
    /// worker would do with real messages. Changes nothing, and does not join the consumer group.
    #[command(after_help = "Examples:\n  kafka-mongo-consumer check --connect\n  \
                      kafka-mongo-consumer check --sample 1000")]
    Check(Check),
    /// Print the JSON Schema of the configuration file, for editors, or of `/status`. Reads no configuration.
    #[command(after_help = "Example:\n  kafka-mongo-consumer print-schema > config.schema.json")]
    PrintSchema {
        /// Of what.
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Print the configuration in effect, with secrets masked.
    #[command(after_help = "Example:\n  kafka-mongo-consumer print-config")]
    PrintConfig,
    /// Ask the worker that runs on this host whether it is alive, for a container's health check.
    ///
    /// Reads the worker's configuration for its address. Exits with code 0 if the worker answers 200, and with 1
    /// otherwise.
    #[command(after_help = "Example:\n  kafka-mongo-consumer health --ready")]
    Health(Health),
    /// Print the script that makes a shell complete commands and options. Reads no configuration.
    #[command(after_help = "Example:\n  kafka-mongo-consumer completions bash > \
                      /etc/bash_completion.d/kafka-mongo-consumer")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual, as `man` reads it. Reads no configuration.
    #[command(after_help = "Example:\n  kafka-mongo-consumer man | man -l -")]
    Man,
    /// Show what running workers are doing: state, partitions, rates, the last errors.
    ///
    /// Asks each worker over its control socket or its metrics port: without an argument, the worker of the
    /// configuration.
    #[command(after_help = "Example:\n  kafka-mongo-consumer status worker-1:8001 worker-2:8001")]
    Status(Status),
    /// Show what running workers are doing, again and again, one line for each, until stopped with Ctrl-C.
    #[command(after_help = "Example:\n  kafka-mongo-consumer top worker-1:8001 worker-2:8001")]
    Top(Top),
    /// Let the running worker of this host take no more messages off Kafka, until `resume`.
    ///
    /// What it has taken is stored, and the offsets are committed. It keeps its partitions. Needs `control.socket`. The
    /// pause ends with the worker's process.
    #[command(
        after_help = "Example:\n  kafka-mongo-consumer pause --reason \"index build on messages\""
    )]
    Pause(Pause),
    /// End a pause.
    #[command(after_help = "Example:\n  kafka-mongo-consumer resume")]
    Resume(Resume),
    /// Check that every message of the topic is stored in MongoDB, unaltered, or is in the dead letter
    /// topic.
    ///
    /// Reads each partition from the start that the options give to its present end. Does not join the consumer
    /// group, and without `--repair` changes nothing in Kafka or MongoDB. Exits with code 0 only if no message is
    /// missing or altered.
    #[command(after_help = "Examples:\n  kafka-mongo-consumer audit --since 2h\n  \
                      kafka-mongo-consumer audit --since 2h --repair --dry-run")]
    Audit(Audit),
    /// List, show or replay the dead letters in the dead letter topic.
    #[command(
        subcommand,
        after_help = "Example:\n  kafka-mongo-consumer dead-letters list"
    )]
    DeadLetters(DeadLetters),
    /// Show or reset the committed offsets of the consumer group. Does not join the group.
    #[command(
        subcommand,
        after_help = "Example:\n  kafka-mongo-consumer offsets show"
    )]
    Offsets(Offsets),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Health {
    /// Ask whether the worker is ready to do its work, and not only whether it is alive.
    #[arg(long)]
    pub ready: bool,
}

/// What a schema is printed of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The configuration file.
    #[default]
    Config,
    /// The answer of `/status`.
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Status {
    /// The workers to ask: the path of a control socket, or host and port of the metrics.
    #[arg(value_name = "SOCKET|HOST:PORT")]
    pub workers: Vec<WorkerAddress>,
    /// Print the answers as JSON, one line for each worker.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Top {
    /// The workers to ask: the path of a control socket, or host and port of the metrics.
    #[arg(value_name = "SOCKET|HOST:PORT")]
    pub workers: Vec<WorkerAddress>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pause {
    /// Why; shown wherever the pause is shown.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The worker's control socket; without it, `control.socket` of the configuration.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Resume {
    /// The worker's control socket; without it, `control.socket` of the configuration.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Audit {
    /// Begin at the first message with this timestamp or a later one.
    #[arg(long, value_name = "AGE|TIME", conflicts_with_all = ["from_offsets", "from_beginning"])]
    pub since: Option<Moment>,
    /// Begin at these offsets, and audit only the partitions named here.
    #[arg(
        long,
        value_name = "PARTITION:OFFSET,…",
        value_delimiter = ',',
        conflicts_with = "from_beginning"
    )]
    pub from_offsets: Vec<PartitionOffset>,
    /// Begin at the oldest message that the topic still has (the default).
    #[arg(long)]
    pub from_beginning: bool,
    #[command(flatten)]
    pub repair: Repair,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// List at most this many of the missing or altered messages.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit_report: usize,
}

/// What an audit does with what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Repair {
    /// Store the missing messages as the worker would, straight from the topic. Altered ones are reported and left.
    #[arg(long = "repair")]
    is_wanted: bool,
    /// With `--repair`: only tell what would be stored or dead-lettered.
    #[arg(long = "dry-run", requires = "is_wanted")]
    is_dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairKind {
    None,
    DryRun,
    Real,
}

impl Repair {
    pub fn kind(self) -> RepairKind {
        match (self.is_wanted, self.is_dry_run) {
            (false, _) => RepairKind::None,
            (true, true) => RepairKind::DryRun,
            (true, false) => RepairKind::Real,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum DeadLetters {
    /// Count the dead letters by reason, topic and partition.
    #[command(after_help = "Example:\n  kafka-mongo-consumer dead-letters list --since 1d")]
    List(ListDeadLetters),
    /// Show one dead letter: its headers, key and value.
    #[command(after_help = "Example:\n  kafka-mongo-consumer dead-letters show 0 1500")]
    Show(ShowDeadLetter),
    /// Store the messages of dead letters with one reason in MongoDB, or publish them to a topic.
    ///
    /// Reads the dead letter topic up to its present end. May run while workers run. Commits its progress
    /// to Kafka for the consumer group `<group_id>.replay.<reason>`; the next replay of the same reason
    /// continues from there.
    #[command(
        after_help = "Example:\n  kafka-mongo-consumer dead-letters replay --reason mongodb_unavailable --dry-run"
    )]
    Replay(ReplayDeadLetters),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ListDeadLetters {
    /// Count only dead letters with this reason.
    #[arg(long, value_parser = reasons())]
    pub reason: Option<Reason>,
    /// Count only dead letters whose original message was in this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// Count only dead letters whose original message was in this partition.
    #[arg(long)]
    pub partition: Option<i32>,
    /// Count only dead letters that failed at this time or later.
    #[arg(long, value_name = "AGE|TIME")]
    pub since: Option<Moment>,
    /// Count only dead letters that failed before this time.
    #[arg(long, value_name = "AGE|TIME")]
    pub until: Option<Moment>,
    /// Print the counts as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ShowDeadLetter {
    /// The dead letter's partition in the dead letter topic.
    pub partition: i32,
    /// The dead letter's offset in the dead letter topic.
    pub offset: i64,
    /// Write only the bytes of the value to standard output.
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReplayDeadLetters {
    /// Replay the dead letters with this reason.
    #[arg(long, value_parser = reasons())]
    pub reason: Reason,
    /// Skip dead letters that failed before this time.
    #[arg(long, value_name = "AGE|TIME")]
    pub since: Option<Moment>,
    /// Stop after replaying this many dead letters.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only count the dead letters that would be replayed.
    #[arg(long)]
    pub dry_run: bool,
    /// Skip dead letters that have been replayed this many times or more.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub max_replays: u32,
    /// Begin at the oldest dead letter instead of where the last replay of this reason stopped.
    #[arg(long)]
    pub from_beginning: bool,
    /// Publish the messages to this topic, without the `dlq.*` headers, instead of storing them.
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str))
        .try_map(|code| Reason::from_code(&code).ok_or_else(|| format!("unknown reason `{code}`")))
}

impl Cli {
    /// The command that was given, or the default.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
