//! Replaying dead letters: from the dead letter topic into MongoDB by the workers' own write path, or to a
//! topic.
//!
//! ```text
//! dead letter topic → replayer → store → MongoDB
//!                        │         └───→ dead letter topic, once more
//!                        └──→ commit ←── settlements      commit → Kafka
//! ```
//!
//! The replayer belongs to no group, so that no partition can be taken away from it. How far it has come is
//! committed for a consumer group that has no members: each reason has its own.
//!
//! `repair.rs` stores the messages that an audit found missing, in the same way.

mod cause;
mod destination;
mod dry_run;
mod process;
mod progress;
mod publisher;
mod repair;
mod repair_progress;
mod replayer;
mod request;
mod selection;

use std::collections::BTreeMap;
use std::sync::Arc;

use log::warn;

use crate::commit::{self, CommitterHandle, CommitterMessage, CommitterSettings, Ownership};
use crate::config::Config;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::core::rejection::Reason;
use crate::core::starting_offset::{FirstStart, LogBounds, StartingOffset};
use crate::failure::Failure;
use crate::kafka::{AssignedPartition, Group, Members, Ranges, ReaderOffsets, Topic, TopicReader};
use crate::runtime::{CaughtSignals, PauseSwitch};

use destination::{Destination, Purpose};
use process::WatchedProcess;
use progress::ReplayProgress;
use publisher::Publisher;
use replayer::{EPOCH, Replayer};

pub use progress::{ReplayTally, SettledCounts};
pub use repair::{PreparedRepair, Repair};
pub use request::ReplayRequest;

/// Where a replay begins in a partition, and where it ends.
struct Span {
    start: Offset,
    end: Offset,
    /// What the group has committed. `None` if that is no longer valid.
    committed: Option<Offset>,
}

/// Replays up to the present end of the dead letter topic. `show` is called often, with the tally so far. The tally
/// counts what was done even if the replay fails. Fails when the replay ends early for another reason than a signal or
/// the limit. The next replay continues where this one stopped.
pub fn replay(
    config: &Config,
    request: &ReplayRequest,
    signals: CaughtSignals,
    show: &mut dyn FnMut(&ReplayTally),
) -> (ReplayTally, Result<(), Failure>) {
    let mut tally = ReplayTally::default();
    let result = run(config, request, signals, &mut tally, show);
    (tally, result)
}

fn run(
    config: &Config,
    request: &ReplayRequest,
    signals: CaughtSignals,
    tally: &mut ReplayTally,
    show: &mut dyn FnMut(&ReplayTally),
) -> Result<(), Failure> {
    let WatchedProcess {
        stop,
        mut threads,
        events,
        event_receiver,
    } = WatchedProcess::start(config, signals)?;

    let topic = &config.kafka.dead_letter_topic;
    let source = Topic::new(TopicId::DEAD_LETTERS, topic);
    let mut reader = TopicReader::new(config, source, &request.group(config))?;
    let spans = spans(&reader, topic, request)?;
    tally.to_read = spans.values().map(|span| span.end.since(span.start)).sum();
    if !request.dry_run && request.criteria.reason == Reason::MongodbUnavailable {
        let left = |span: &Span| span.end.since(span.committed.unwrap_or(span.start));
        let left = spans.values().map(left).sum();
        refuse_beside_workers(&reader, &request.group(config), left)?;
    }
    let ranges: Ranges = spans
        .iter()
        .map(|(&partition, span)| (partition, span.start..span.end))
        .collect();
    reader.read(&ranges)?;
    if request.dry_run {
        return dry_run::count(&mut reader, request, &stop, tally, show);
    }

    let progress = Arc::new(ReplayProgress::default());
    let (committer, messages) = CommitterHandle::channel();
    let dispatcher = commit::start(
        &mut threads,
        committer.clone(),
        messages,
        CommitterSettings::new(&config.consumer, PauseSwitch::default()),
        Ownership::Exclusive,
        ReaderOffsets::new(&reader),
        Arc::clone(&progress) as Arc<_>,
    )?;
    let destination = match &request.to {
        None => Destination::mongodb(
            config,
            Purpose::Replay,
            &mut threads,
            dispatcher,
            events,
            stop.clone(),
        )?,
        Some(to) => {
            let publisher = Publisher::new(config, to, &mut threads, dispatcher, events)?;
            Destination::Topic(publisher)
        }
    };
    // Sent only now, because the committer may commit the start of an assigned partition at once. Without a
    // destination nothing must be committed.
    let assigned = spans.iter().map(|(&partition, span)| AssignedPartition {
        partition,
        epoch: EPOCH,
        start: span.start,
        committed: span.committed,
    });
    committer.send(CommitterMessage::Assigned(assigned.collect()));
    let ends = ranges.into_iter().map(|(p, range)| (p, range.end));
    Replayer::new(
        request,
        ends.collect(),
        committer,
        destination,
        progress,
        event_receiver,
        stop,
        &config.consumer,
    )
    .run(&mut reader, tally, show)
}

/// Workers that store the dead letters of an outage afterwards are members of the group whose progress this replay would
/// commit. `left` is how many offsets they have still to look at or to settle.
fn refuse_beside_workers(reader: &TopicReader, group: &str, left: u64) -> Result<(), Failure> {
    let Some(Group {
        members: Members::Known(members),
        ..
    }) = reader.group()?
    else {
        // Of a group of KIP-848 the client can't tell the members. The brokers refuse the replay's commit while it has some.
        return Ok(());
    };
    if members.is_empty() {
        return Ok(());
    }
    Err(Failure::needs_operator(format!(
        "the workers store these dead letters themselves (`mongodb.replay_after_outage`): the group `{group}` has {} \
         members, and {left} offsets of the dead letter topic are left for them; `/status` and the metric \
         `consumer_replay_waiting` of each worker show how far it is. To replay by hand, stop the workers or set \
         `mongodb.replay_after_outage` to false first",
        members.len()
    )))
}

fn spans(
    reader: &TopicReader,
    topic: &str,
    request: &ReplayRequest,
) -> Result<BTreeMap<TopicPartition, Span>, Failure> {
    let Some(bounds) = reader.bounds()? else {
        warn!("there is no dead letter topic `{topic}` yet");
        return Ok(BTreeMap::new());
    };
    let partitions: Vec<TopicPartition> = bounds.keys().copied().collect();
    let committed = reader.committed(&partitions)?;
    let span = |(partition, bounds): (TopicPartition, LogBounds)| {
        let committed = committed
            .get(&partition)
            .copied()
            .filter(|_| !request.from_beginning);
        let start = StartingOffset::decide(committed, bounds, FirstStart::Earliest);
        if let StartingOffset::Overtaken {
            committed,
            earliest,
        } = start
        {
            warn!(
                partition = partition.number, from = committed.0, to = earliest.0;
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
