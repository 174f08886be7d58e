//! `check`: the definitions of its options.

use clap::{Args, value_parser};

/// The most messages of a sample. Each takes memory for its size and its `message_id`.
const LARGEST_SAMPLE: u64 = 10_000_000;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// Check also that Kafka and MongoDB can be used, and print what was found. Changes nothing.
    #[arg(long)]
    pub connect: bool,
    /// Read this many messages, and print what the worker would do with each. Changes nothing.
    ///
    /// The messages are those that the consumer group has not committed yet, the oldest first, evenly from all
    /// partitions. A partition without a commit is read from its beginning.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=LARGEST_SAMPLE))]
    pub sample: Option<u64>,
    /// Take the sample from the oldest messages that the topic still has.
    #[arg(long, requires = "sample")]
    pub from_beginning: bool,
    /// Print everything as one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Check {
    /// Whether more than the configuration is checked.
    pub fn needs_servers(&self) -> bool {
        self.connect || self.sample.is_some()
    }
}
