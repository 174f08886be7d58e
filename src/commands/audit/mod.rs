//! `audit`: proves of each message of a range of the topic that it is in MongoDB, the same, or in the
//! dead letter topic. It reads, and changes nothing.
//!
//! The order of its questions makes it safe beside running workers: first what the topic holds, then
//! what the group has committed (all below is settled by then), then the dead letter topic, then the
//! messages themselves.

mod auditor;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use auditor::Auditor;
use jiff::Timestamp;
use report::Report;

use super::output::{self, Progress};
use super::{failed_mongodb, reader_of, unreachable_kafka};
use crate::cli::{Audit, Place};
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, IndexBuilder};
use crate::core::partition::{Offset, Partition};
use crate::core::starting_offset::LogBounds;
use crate::failure::Failure;
use crate::kafka::{Next, Ranges, TopicReader};
use crate::mongo::MongoDbHandler;

/// How often the progress is looked at while nothing comes.
const SLICE: Duration = Duration::from_millis(200);

pub(super) fn audit(config: &Config, arguments: &Audit) -> Result<(), Failure> {
    let topic = &config.kafka.topic;
    let mut reader = reader_of(config, topic)?;
    let bounds = reader.bounds().map_err(unreachable_kafka)?;
    let bounds =
        bounds.ok_or_else(|| Failure::configuration(format!("there is no topic `{topic}`")))?;
    let ranges = ranges(&reader, arguments, &bounds)?;
    let partitions: Vec<Partition> = ranges.keys().copied().collect();
    let committed = reader.committed(&partitions).map_err(unreachable_kafka)?;

    let mongodb = MongoDbHandler::connect(config).map_err(failed_mongodb)?;
    mongodb.ping().map_err(failed_mongodb)?;

    let mut progress = Progress::new();
    let index = read_dead_letters(config, &ranges, &mut progress)?;
    let mut auditor = Auditor::new(config, &mongodb, &index, committed, arguments.limit_report);
    read_messages(&mut reader, &ranges, &mut auditor, &mut progress)?;
    drop(progress);

    let report = auditor.finish()?;
    print(&report, arguments.json)?;
    if report.is_good() {
        return Ok(());
    }
    let counts = report.counts();
    Err(Failure::audit_failed(format!(
        "{} messages are missing, {} are altered",
        counts.missing, counts.altered
    )))
}

fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        report.to_json()
    } else {
        report.to_text()
    };
    output::print(text.as_bytes())
}

/// What is to be audited, up to the present end of each partition.
fn ranges(
    reader: &TopicReader,
    arguments: &Audit,
    bounds: &BTreeMap<Partition, LogBounds>,
) -> Result<Ranges, Failure> {
    let starts: BTreeMap<Partition, Offset> = match arguments.since {
        Some(moment) => {
            let partitions: Vec<Partition> = bounds.keys().copied().collect();
            let since = moment.at(Timestamp::now());
            let found = reader.offsets_at(&partitions, since.as_millisecond());
            let found = found.map_err(unreachable_kafka)?;
            // Where there is no such message, nothing is left to look at.
            let start_of = |p: &Partition, b: &LogBounds| found.get(p).copied().unwrap_or(b.latest);
            bounds.iter().map(|(p, b)| (*p, start_of(p, b))).collect()
        }
        None if arguments.from_offsets.is_empty() => {
            bounds.iter().map(|(p, b)| (*p, b.earliest)).collect()
        }
        None => named(&arguments.from_offsets, bounds)?,
    };
    let range = |(partition, start): (Partition, Offset)| {
        let bounds = bounds.get(&partition)?;
        // What is no more can't be looked at.
        let start = start.max(bounds.earliest).min(bounds.latest);
        Some((partition, start..bounds.latest))
    };
    Ok(starts.into_iter().filter_map(range).collect())
}

fn named(
    places: &[Place],
    bounds: &BTreeMap<Partition, LogBounds>,
) -> Result<BTreeMap<Partition, Offset>, Failure> {
    let mut starts = BTreeMap::new();
    for place in places {
        if !bounds.contains_key(&place.partition) {
            return Err(Failure::configuration(format!(
                "`--from-offsets {place}`: the topic has no partition {}",
                place.partition
            )));
        }
        if starts.insert(place.partition, place.offset).is_some() {
            return Err(Failure::configuration(format!(
                "`--from-offsets {place}`: partition {} is named twice",
                place.partition
            )));
        }
    }
    Ok(starts)
}

/// Reads the whole dead letter topic, and keeps what it has of the messages in `ranges`.
fn read_dead_letters(
    config: &Config,
    ranges: &Ranges,
    progress: &mut Progress,
) -> Result<DeadLetterIndex, Failure> {
    let source = &config.kafka.topic;
    let mut index = IndexBuilder::new(ranges.clone());
    let mut reader = reader_of(config, &config.kafka.dead_letter_topic)?;
    // A topic that is missing yet holds nothing.
    let bounds = reader.bounds().map_err(unreachable_kafka)?;
    let all = bounds.unwrap_or_default().into_iter();
    let all = all.map(|(partition, bounds)| (partition, bounds.earliest..bounds.latest));
    reader.read(&all.collect()).map_err(unreachable_kafka)?;
    let mut read: u64 = 0;
    loop {
        progress.show(|| format!("read {read} dead letters"));
        let letter = match reader.next(SLICE).map_err(unreachable_kafka)? {
            Next::Record(letter) => letter,
            Next::Nothing => continue,
            Next::End => return Ok(index.finish()),
        };
        read += 1;
        let provenance = letter.provenance();
        if let (Some((partition, offset)), Some(reason)) =
            (provenance.source_in(source), provenance.reason)
        {
            index.insert(
                partition,
                offset,
                reason,
                provenance.replay_count,
                provenance.value_omitted,
            );
        }
    }
}

fn read_messages(
    reader: &mut TopicReader,
    ranges: &Ranges,
    auditor: &mut Auditor<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    reader.read(ranges).map_err(unreachable_kafka)?;
    let all: u64 = ranges
        .values()
        .map(|range| range.end.since(range.start))
        .sum();
    loop {
        progress.show(|| format!("checked {} of {all} messages", auditor.checked()));
        match reader.next(SLICE).map_err(unreachable_kafka)? {
            Next::Record(message) => {
                auditor.take(message.partition(), message.offset(), message.value())?;
            }
            Next::Nothing => {}
            Next::End => return Ok(()),
        }
    }
}
