//! `check --sample`: reads real messages, and finds out what the worker would do with each of them. It only reads.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::sample_report::{Fate, SampleReport};
use super::shares::shares;
use crate::cli::PartitionOffset;
use crate::commands::look_up::{LookUp, LookedUp};
use crate::commands::output::ProgressLine;
use crate::commands::servers::{failed_mongodb, reader_of};
use crate::commands::topic_log::TopicLog;
use crate::config::Config;
use crate::core::document::DocumentId;
use crate::core::partition::{TopicId, TopicPartition};
use crate::core::rejection::Reason;
use crate::core::starting_offset::{FirstStart, StartingOffset};
use crate::core::write_plan::StoredDocument;
use crate::failure::Failure;
use crate::kafka::{ConsumedMessage, Next, Ranges, TopicReader};
use crate::mongo::MongoDbHandler;
use crate::runtime::StopSignal;

/// How long one read waits for a record before the progress is shown again.
const READ_WAIT: Duration = Duration::from_millis(200);

/// Takes a sample of `size` messages.
pub(super) fn take(
    config: &Config,
    size: u64,
    from_beginning: bool,
) -> Result<SampleReport, Failure> {
    let mut reader = reader_of(config, TopicId::CONSUMED, &config.kafka.topic)?;
    let ranges = ranges(config, &reader, from_beginning)?;
    let available: Vec<u64> = ranges.values().map(|r| r.end.since(r.start)).collect();
    let shares = shares(size, &available);
    let mut left: BTreeMap<TopicPartition, u64> = ranges.keys().copied().zip(shares).collect();
    let ranges = ranges.into_iter().filter(|(p, _)| left[p] > 0).collect();

    let mongodb = MongoDbHandler::connect(config).map_err(failed_mongodb)?;
    mongodb.ping().map_err(failed_mongodb)?;
    let mut sampler = Sampler::new(config, &mongodb);
    let mut progress = ProgressLine::new();
    reader.read(&ranges)?;
    loop {
        progress.show(|| format!("read {} of {size} messages", sampler.report.read()));
        let partition = match reader.next(READ_WAIT)? {
            Next::Record(message) => {
                sampler.add(&message)?;
                message.partition()
            }
            Next::Nothing => continue,
            Next::End => break,
        };
        let left = left.entry(partition).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 {
            reader.finish(partition)?;
        }
    }
    drop(progress);
    sampler.look_up()?;
    Ok(sampler.report)
}

/// What may be read of each partition: from the committed offset, or from the beginning, to the present end. Nothing of
/// a partition without a leader.
fn ranges(config: &Config, reader: &TopicReader, from_beginning: bool) -> Result<Ranges, Failure> {
    let log = TopicLog::of(config, reader)?;
    let committed = if from_beginning {
        BTreeMap::new()
    } else {
        reader.committed(&log.partitions)?
    };
    let ranges = log.bounds.into_iter().map(|(partition, bounds)| {
        let committed = committed.get(&partition).copied();
        let start = StartingOffset::decide(committed, bounds, FirstStart::Earliest);
        (partition, start.offset()..bounds.latest)
    });
    Ok(ranges.collect())
}

struct Sampler<'a> {
    look_up: LookUp<'a, PartitionOffset>,
    /// A hash of each document that would be stored, by its `_id`: a later message of the sample may have the same
    /// `_id`. All documents of a sample have the same `received_at`, so equal messages have equal bytes.
    stored: HashMap<DocumentId, u64>,
    hashes: RandomState,
    report: SampleReport,
}

impl<'a> Sampler<'a> {
    fn new(config: &'a Config, mongodb: &'a MongoDbHandler) -> Self {
        Self {
            look_up: LookUp::new(
                config,
                Arc::clone(&config.message.rules),
                mongodb,
                StopSignal::new(),
            ),
            stored: HashMap::new(),
            hashes: RandomState::new(),
            report: SampleReport::new(&config.kafka.topic),
        }
    }

    fn add(&mut self, message: &ConsumedMessage<'_>) -> Result<(), Failure> {
        let value = message.value();
        let size = value.map_or(0, <[u8]>::len);
        self.report.add_message(size, message.timestamp().instant());
        let place = PartitionOffset {
            partition: message.partition(),
            offset: message.offset(),
        };
        match self.look_up.add(place, message) {
            Ok(()) if self.look_up.is_full() => self.look_up(),
            Ok(()) => Ok(()),
            Err((place, rejection)) => {
                let fate = Fate::Rejected(rejection.reason);
                self.report.add_fate(fate, place);
                Ok(())
            }
        }
    }

    fn look_up(&mut self) -> Result<(), Failure> {
        let Self {
            look_up,
            stored,
            hashes,
            report,
        } = self;
        look_up.run(|looked_up| {
            report.add_document(looked_up.document.as_bytes().len());
            let fate = fate_of(&looked_up, stored, hashes);
            report.add_fate(fate, looked_up.message);
        })
    }
}

fn fate_of(
    looked_up: &LookedUp<'_, PartitionOffset>,
    stored: &mut HashMap<DocumentId, u64>,
    hashes: &RandomState,
) -> Fate {
    match looked_up.found {
        StoredDocument::Same => return Fate::AlreadyStored,
        StoredDocument::Different | StoredDocument::EqualId => {
            return Fate::Rejected(Reason::IdConflict);
        }
        StoredDocument::Absent => {}
    }
    let Some(id) = looked_up.id() else {
        return Fate::Stored;
    };
    let hash = hashes.hash_one(looked_up.document.as_bytes());
    match stored.entry(id.to_owned()) {
        Entry::Vacant(entry) => {
            entry.insert(hash);
            Fate::Stored
        }
        Entry::Occupied(earlier) if *earlier.get() == hash => Fate::AlreadyStored,
        Entry::Occupied(_) => Fate::Rejected(Reason::IdConflict),
    }
}
