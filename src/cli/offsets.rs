//! `offsets`: the definitions of its subcommands and options.

use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand, value_parser};

use super::moment::Moment;
use super::partition_offset::PartitionOffset;
use crate::core::partition::Offset;

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Offsets {
    /// Show the log's beginning and end, the committed offset, the lag and the member of each partition.
    #[command(after_help = "Example:\n  kafka-mongo-consumer offsets show")]
    Show(ShowOffsets),
    /// Set the committed offsets of the consumer group.
    ///
    /// The group must have no members: stop all workers before. Each partition begins at its new offset when
    /// a worker starts. What lies behind is not read again, and what lies ahead is read again: messages that
    /// are stored already change nothing.
    #[command(
        after_help = "Examples:\n  kafka-mongo-consumer offsets reset --to-datetime 2h --dry-run\n  \
                      kafka-mongo-consumer offsets reset --to-offset 0:1500,3:2000"
    )]
    Reset(ResetOffsets),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct ShowOffsets {
    /// Print the offsets as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("target").required(true))]
pub struct ResetOffsets {
    /// Set them to the oldest message that each partition still has.
    #[arg(long, group = "target")]
    pub to_earliest: bool,
    /// Set them to the end of each partition, so that only later messages are read.
    #[arg(long, group = "target")]
    pub to_latest: bool,
    /// Set them to the first message with this timestamp or a later one; to the end where there is none.
    #[arg(long, value_name = "AGE|TIME", group = "target")]
    pub to_datetime: Option<Moment>,
    /// Set them to this offset, or set these partitions alone.
    #[arg(
        long,
        value_name = "OFFSET|PARTITION:OFFSET,…",
        value_delimiter = ',',
        group = "target"
    )]
    pub to_offset: Vec<TargetOffset>,
    /// Set only these partitions.
    #[arg(
        long,
        value_name = "PARTITION,…",
        value_delimiter = ',',
        value_parser = value_parser!(i32).range(0..)
    )]
    pub partitions: Vec<i32>,
    /// Only print what would be set.
    #[arg(long)]
    pub dry_run: bool,
}

/// A value of `--to-offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOffset {
    /// The same for every partition.
    All(Offset),
    One(PartitionOffset),
}

impl FromStr for TargetOffset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.contains(':') {
            return text.parse().map(Self::One);
        }
        let offset = text.parse().ok().filter(|offset| *offset >= 0);
        offset
            .map(|offset| Self::All(Offset(offset)))
            .ok_or("it must be an offset such as 1500, or a partition, a colon and an offset, such as 0:1500")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::TopicPartition;

    #[test]
    fn a_target_is_an_offset_or_a_place() {
        assert_eq!("1500".parse(), Ok(TargetOffset::All(Offset(1500))));
        let place = PartitionOffset {
            partition: TopicPartition::consumed(3),
            offset: Offset(7),
        };
        assert_eq!("3:7".parse(), Ok(TargetOffset::One(place)));
        for text in ["", "-1", "a", "3:", ":7", "3:-7", "1:2:3"] {
            assert!(text.parse::<TargetOffset>().is_err(), "{text}");
        }
    }
}
