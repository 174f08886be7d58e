//! `offsets reset`: sets the committed offsets of a group that has no members.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::targets::{self, Target};
use crate::cli::ResetOffsets;
use crate::commands::output;
use crate::commands::servers::reader_of;
use crate::commands::topic_log::TopicLog;
use crate::config::Config;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::failure::Failure;
use crate::kafka::{ResetError, TopicReader};

pub(super) fn reset(config: &Config, arguments: &ResetOffsets) -> Result<(), Failure> {
    let reader = reader_of(config, TopicId::CONSUMED, &config.kafka.topic)?;
    let log = TopicLog::of(config, &reader)?;
    let partitions =
        targets::partitions(&log.partitions, &arguments.partitions, &arguments.to_offset)
            .map_err(|faults| refused(&faults))?;
    let target = target(&reader, arguments, &partitions)?;
    let offsets =
        targets::offsets(&partitions, &target, &log.bounds).map_err(|faults| refused(&faults))?;
    let before = reader.committed(&partitions)?;
    // Before anything is printed, so that a list is never mistaken for what was done.
    reader.check_has_no_members().map_err(failed)?;
    if arguments.dry_run {
        output::print(changes(&before, &offsets).as_bytes())?;
        return output::print(b"nothing was set, because of `--dry-run`\n");
    }
    let set = reader.reset(config, &log.partitions, &offsets);
    set.map_err(failed)?;
    output::print(changes(&before, &offsets).as_bytes())
}

fn target<'a>(
    reader: &TopicReader,
    arguments: &'a ResetOffsets,
    partitions: &[TopicPartition],
) -> Result<Target<'a>, Failure> {
    Ok(if let Some(moment) = arguments.to_datetime {
        let millis = moment.at(Timestamp::now()).as_millisecond();
        Target::Time(reader.offsets_at(partitions, millis)?)
    } else if arguments.to_earliest {
        Target::Earliest
    } else if arguments.to_latest {
        Target::Latest
    } else {
        Target::Given(&arguments.to_offset)
    })
}

/// Each partition's offset before and after.
fn changes(
    before: &BTreeMap<TopicPartition, Offset>,
    after: &BTreeMap<TopicPartition, Offset>,
) -> String {
    let mut text = String::new();
    for (partition, after) in after {
        let before = before.get(partition);
        let before = before.map_or_else(|| "none".to_owned(), Offset::to_string);
        let _ = writeln!(text, "partition {partition}: {before} → {after}");
    }
    text
}

fn refused(faults: &[String]) -> Failure {
    Failure::configuration(faults.join("; "))
}

fn failed(error: ResetError) -> Failure {
    match error {
        ResetError::HasMembers { .. } => Failure::needs_operator(
            "stop the workers of this group before; a static member that is away counts until its session has expired",
        )
        .because(error),
        ResetError::Read(error) => error.into(),
        ResetError::NoAnswer => Failure::kafka_unreachable().because(error),
        ResetError::Commit(_) => Failure::running("the offsets were not set").because(error),
    }
}
