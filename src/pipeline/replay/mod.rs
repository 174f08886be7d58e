//! Replaying dead letters: from the dead letter topic into MongoDB by the workers' own write path, or
//! to a topic. Other groups of the consumed topic see nothing of the former.
//!
//! ```text
//! dead letter topic → replayer → writers → MongoDB
//!                        ↑          └────→ dead letter topic, once more
//!                        └── settlements     replayer → commit thread → Kafka
//! ```
//!
//! The replayer reads, keeps the books and says what to commit, in one thread, as the poller and the
//! committer do in two: it belongs to no group that could be rebalanced.

mod books;
mod destination;
mod replayer;
mod tally;

use std::collections::BTreeMap;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;

use super::committer::CommitThread;
use super::failure::Failure;
use super::in_flight::InFlight;
use super::messages::{CommitAnswer, CommitRequest};
use super::signals::spawn_signals;
use super::stop::StopSignal;
use super::supervisor::settle_time;
use super::threads::Threads;
use crate::config::Config;
use crate::core::dead_letter::ReplayCriteria;
use crate::core::offsets::Commit;
use crate::core::partition::{Offset, Partition};
use crate::core::record::Batch;
use crate::core::start::{FirstStart, LogBounds, Start};
use crate::kafka::{Ranges, ReadError, TopicReader};
use books::Books;
use destination::Destination;
use replayer::Replayer;
pub use tally::ReplayTally;

/// Messages that may wait for the replayer, which never waits for those who send them.
const MESSAGE_QUEUE: usize = 4096;
/// As in the worker: the first few say enough.
const EVENT_QUEUE: usize = 64;

/// What is to be replayed, and how.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    pub criteria: ReplayCriteria,
    /// The most to be taken.
    pub limit: Option<u64>,
    /// Begin with the oldest dead letter, wherever the last replay got to.
    pub from_beginning: bool,
    /// Publish to this topic, in place of storing.
    pub to: Option<String>,
    /// Count, and do nothing.
    pub dry_run: bool,
}

impl ReplayRequest {
    /// The group that keeps how far replays of this reason have come. Each reason has its own, since
    /// one of them passes over what another one is after.
    fn group(&self, config: &Config) -> String {
        format!("{}.replay.{}", config.kafka.group_id, self.criteria.reason)
    }
}

/// Where a replay begins in a partition, and how far it goes.
struct Span {
    start: Offset,
    end: Offset,
    /// What the group has committed; `None` where that isn't to hold any more.
    committed: Option<Offset>,
}

/// Replays up to the present end of the dead letter topic. `show` is called often, with how far it has
/// come. What is counted is counted, even if it fails.
///
/// # Errors
/// Why it ended before it was through, for another reason than a signal: it goes on there the next time.
pub fn replay(
    config: &Config,
    request: &ReplayRequest,
    show: &mut dyn FnMut(&ReplayTally),
) -> (ReplayTally, Result<(), Failure>) {
    let mut tally = ReplayTally::default();
    let result = run(config, request, &mut tally, show);
    (tally, result)
}

fn run(
    config: &Config,
    request: &ReplayRequest,
    tally: &mut ReplayTally,
    show: &mut dyn FnMut(&ReplayTally),
) -> Result<(), Failure> {
    let stop = StopSignal::new();
    let (events, heard_events) = bounded(EVENT_QUEUE);
    let mut threads = Threads::new(events.clone());
    spawn_signals(&mut threads, stop.clone(), settle_time(config), || {})?;

    let topic = &config.kafka.dead_letter_topic;
    let mut reader = TopicReader::new(config, topic, &request.group(config))
        .map_err(|error| Failure::Setting(format!("the consumer's settings: {error}")))?;
    let spans = spans(&reader, topic, request)?;
    tally.to_read = spans.values().map(|span| span.end.since(span.start)).sum();
    let ranges: Ranges = spans
        .iter()
        .map(|(&partition, span)| (partition, span.start..span.end))
        .collect();
    reader.read(&ranges).map_err(unreachable)?;
    if request.dry_run {
        return replayer::count(&mut reader, request, &stop, tally, show);
    }

    let (to_books, messages) = bounded(MESSAGE_QUEUE);
    let (requests, answers) = spawn_commits(&mut threads, &reader)?;
    let books = Books::new(
        messages,
        requests,
        answers,
        &spans,
        InFlight::new(
            config.consumer.max_in_flight_messages,
            config.consumer.max_in_flight_bytes,
        ),
    );
    let destination = match &request.to {
        None => Destination::mongodb(config, &mut threads, to_books, events, &books, &stop)?,
        Some(to) => Destination::topic(config, to, &mut threads, to_books, events)?,
    };
    Replayer {
        reader,
        request,
        ends: ranges
            .into_iter()
            .map(|(p, range)| (p, range.end))
            .collect(),
        books,
        destination,
        hand: Batch::new(Instant::now()),
        events: heard_events,
        stop,
        batch_size: config.consumer.batch_size,
        batch_bytes: config.consumer.batch_bytes,
    }
    .run(tally, show)
}

fn spans(
    reader: &TopicReader,
    topic: &str,
    request: &ReplayRequest,
) -> Result<BTreeMap<Partition, Span>, Failure> {
    let Some(bounds) = reader.bounds().map_err(unreachable)? else {
        warn!("there is no dead letter topic `{topic}` yet");
        return Ok(BTreeMap::new());
    };
    let partitions: Vec<Partition> = bounds.keys().copied().collect();
    let committed = reader.committed(&partitions).map_err(unreachable)?;
    let span = |(partition, bounds): (Partition, LogBounds)| {
        let committed = committed
            .get(&partition)
            .copied()
            .filter(|_| !request.from_beginning);
        let start = Start::decide(committed, bounds, FirstStart::Earliest);
        if let Start::Overtaken {
            committed,
            earliest,
        } = start
        {
            warn!(
                partition = partition.0, from = committed.0, to = earliest.0;
                "dead letters have expired since the last replay"
            );
        }
        let span = Span {
            start: start.offset(),
            end: bounds.latest,
            committed: start.committed(),
        };
        (partition, span)
    };
    Ok(bounds.into_iter().map(span).collect())
}

fn unreachable(error: impl Into<ReadError>) -> Failure {
    Failure::KafkaUnreachable(error.into().to_string())
}

type Commits = (Sender<CommitRequest>, Receiver<CommitAnswer>);

/// The thread that may have to wait for a broker without a bound.
fn spawn_commits(threads: &mut Threads, reader: &TopicReader) -> Result<Commits, Failure> {
    // One commit at a time.
    let (requests, to_commit) = bounded(1);
    let (answer, answers) = bounded(1);
    let group = reader.group();
    let thread = CommitThread {
        requests: to_commit,
        answers: answer,
        commit: move |commits: Vec<Commit>| {
            let started = Instant::now();
            let result = group.commit(&commits);
            Some(CommitAnswer {
                commits,
                result,
                took: started.elapsed(),
            })
        },
    };
    threads.spawn_detached("commit", move || thread.run())?;
    Ok((requests, answers))
}
