//! `audit`: checks that every message in a range of the topic is stored in MongoDB, unaltered, or is in
//! the dead letter topic. It only reads, unless it is to repair: then it stores the missing messages.
//!
//! An audit is correct while workers run, because of the order in which it reads: first the ends of the
//! topic; then the group's committed offsets, below which every message is settled at that time; then the
//! dead letter topic; then the messages and their documents.

mod auditor;
mod repair_report;
mod repairs;
mod report;

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::time::{Duration, Instant};

use auditor::Auditor;
use jiff::Timestamp;
use repairs::{Found, Repairs};
use report::Report;

use super::output::{self, ProgressLine};
use super::servers::{failed_mongodb, reader_of};
use crate::cli::{Audit, PartitionOffset, RepairKind};
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, DeadLetterIndexBuilder};
use crate::core::pace::Pace;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::core::starting_offset::LogBounds;
use crate::failure::Failure;
use crate::kafka::{Next, Ranges, TopicReader};
use crate::mongo::MongoDbHandler;
use crate::replay::PreparedRepair;
use crate::runtime::{CaughtSignals, StopSignal};

/// How long one read waits for a record before the progress is shown again.
const READ_WAIT: Duration = Duration::from_millis(200);

pub(super) fn audit(
    config: &Config,
    arguments: &Audit,
    signals: CaughtSignals,
) -> Result<(), Failure> {
    // Only a repair has something to finish after a signal.
    let kind = arguments.repair.kind();
    let repair = match kind {
        RepairKind::Real => Some(PreparedRepair::new(config, signals)?),
        RepairKind::None | RepairKind::DryRun => {
            signals.release();
            None
        }
    };
    let stop = repair
        .as_ref()
        .map_or_else(StopSignal::new, |repair| repair.stop().clone());

    let topic = &config.kafka.topic;
    let mut reader = reader_of(config, TopicId::CONSUMED, topic)?;
    let bounds = reader.bounds()?;
    let bounds =
        bounds.ok_or_else(|| Failure::configuration(format!("there is no topic `{topic}`")))?;
    let ranges = ranges(&reader, arguments, &bounds)?;
    let partitions: Vec<TopicPartition> = ranges.keys().copied().collect();
    let committed = reader.committed(&partitions)?;

    let mongodb = MongoDbHandler::connect(config).map_err(failed_mongodb)?;
    mongodb.ping().map_err(failed_mongodb)?;

    let mut progress = ProgressLine::new();
    let index = read_dead_letters(config, &ranges, &stop, &mut progress)?;
    let repairs = match repair {
        Some(repair) => Repairs::real(repair.start(config, &ranges)?),
        None if kind == RepairKind::DryRun => Repairs::DryRun(Found::default()),
        None => Repairs::None,
    };
    let mut auditor = Auditor::new(
        config,
        &mongodb,
        &index,
        committed,
        arguments.limit_report,
        repairs,
        stop.clone(),
    );
    let read = read_messages(&mut reader, &ranges, &mut auditor, &stop, &mut progress);
    let read = read.map_err(|failure| {
        if stop.is_stopping() {
            interrupted()
        } else {
            failure
        }
    });
    drop(progress);
    let (report, result) = auditor.finish(read, &ranges);
    if kind == RepairKind::Real {
        // A repair that failed has stored something, and its report says where to go on.
        print(&report, arguments.json)?;
        result?;
    } else {
        result?;
        print(&report, arguments.json)?;
    }
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::audit_failed(format!(
        "{} messages are missing, {} are altered",
        report.still_missing(),
        report.counts().altered
    )))
}

fn interrupted() -> Failure {
    Failure::running("the repair was stopped before its end")
}

fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        report.to_json()
    } else {
        report.to_text()
    };
    output::print(text.as_bytes())
}

/// The offsets to audit in each partition, up to its present end.
fn ranges(
    reader: &TopicReader,
    arguments: &Audit,
    bounds: &BTreeMap<TopicPartition, LogBounds>,
) -> Result<Ranges, Failure> {
    let starts: BTreeMap<TopicPartition, Offset> = match arguments.since {
        Some(moment) => {
            let partitions: Vec<TopicPartition> = bounds.keys().copied().collect();
            let since = moment.at(Timestamp::now());
            let found = reader.offsets_at(&partitions, since.as_millisecond());
            let found = found?;
            // Of a partition without such a message, nothing is audited.
            let start_of =
                |p: &TopicPartition, b: &LogBounds| found.get(p).copied().unwrap_or(b.latest);
            bounds.iter().map(|(p, b)| (*p, start_of(p, b))).collect()
        }
        None if arguments.from_offsets.is_empty() => {
            bounds.iter().map(|(p, b)| (*p, b.earliest)).collect()
        }
        None => starts_from_arguments(&arguments.from_offsets, bounds)?,
    };
    let range = |(partition, start): (TopicPartition, Offset)| {
        let bounds = bounds.get(&partition)?;
        // Messages that retention has deleted can't be audited.
        let start = start.max(bounds.earliest).min(bounds.latest);
        Some((partition, start..bounds.latest))
    };
    Ok(starts.into_iter().filter_map(range).collect())
}

fn starts_from_arguments(
    from_offsets: &[PartitionOffset],
    bounds: &BTreeMap<TopicPartition, LogBounds>,
) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let mut starts = BTreeMap::new();
    for start in from_offsets {
        if !bounds.contains_key(&start.partition) {
            return Err(Failure::configuration(format!(
                "`--from-offsets {start}`: the topic has no partition {}",
                start.partition
            )));
        }
        if starts.insert(start.partition, start.offset).is_some() {
            return Err(Failure::configuration(format!(
                "`--from-offsets {start}`: partition {} is given twice",
                start.partition
            )));
        }
    }
    Ok(starts)
}

/// Reads the whole dead letter topic and indexes the dead letters of the messages in `ranges`.
fn read_dead_letters(
    config: &Config,
    ranges: &Ranges,
    stop: &StopSignal,
    progress: &mut ProgressLine,
) -> Result<DeadLetterIndex<RandomState>, Failure> {
    let kafka = &config.kafka;
    let mut index = DeadLetterIndexBuilder::new(
        &kafka.topic,
        &kafka.group_id,
        ranges.clone(),
        // The hash has a random key, so that nobody can make a message that another message's dead letter seems to
        // prove.
        RandomState::new(),
    );
    let mut reader = reader_of(
        config,
        TopicId::DEAD_LETTERS,
        &config.kafka.dead_letter_topic,
    )?;
    // A topic that doesn't exist yet has no dead letters.
    let bounds = reader.bounds()?;
    let all = bounds.unwrap_or_default().into_iter();
    let all = all.map(|(partition, bounds)| (partition, bounds.earliest..bounds.latest));
    let all: Ranges = all.collect();
    reader.read(&all)?;
    let mut pace = Pace::new(size(&all), Instant::now());
    let mut read: u64 = 0;
    while !stop.is_stopping() {
        progress.show(|| {
            let estimate = pace.estimate(read, Instant::now());
            format!("read {read} dead letters: {estimate}")
        });
        let letter = match reader.next(READ_WAIT)? {
            Next::Record(letter) => letter,
            Next::Nothing => continue,
            Next::End => return Ok(index.finish()),
        };
        read += 1;
        index.insert(&letter.dead_letter_headers(), letter.value());
    }
    Err(interrupted())
}

fn read_messages(
    reader: &mut TopicReader,
    ranges: &Ranges,
    auditor: &mut Auditor<'_, RandomState>,
    stop: &StopSignal,
    progress: &mut ProgressLine,
) -> Result<(), Failure> {
    reader.read(ranges)?;
    let mut pace = Pace::new(size(ranges), Instant::now());
    while !stop.is_stopping() {
        progress.show(|| {
            let estimate = pace.estimate(auditor.passed(ranges), Instant::now());
            let (checked, repair) = (auditor.checked(), auditor.repair_progress());
            format!("checked {checked} messages{repair}: {estimate}")
        });
        match reader.next(READ_WAIT)? {
            Next::Record(message) => {
                auditor.add(&message)?;
            }
            Next::Nothing => {}
            Next::End => return Ok(()),
        }
    }
    Err(interrupted())
}

/// The number of offsets in the ranges.
fn size(ranges: &Ranges) -> u64 {
    let sizes = ranges.values().map(|range| range.end.since(range.start));
    sizes.sum()
}
