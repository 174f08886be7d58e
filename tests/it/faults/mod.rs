//! What the worker does while servers fail. Tests that kill or freeze a server start one of their own.

mod broker_away;
mod broker_errors;
mod command_errors;
mod commit_texts;
mod dead_letter_rights;
mod dead_letter_topic;
mod failover;
mod floods;
mod leaderless;
mod lost_output;
mod mixed_batches;
mod mongod_away;
mod mongod_blocked;
mod paused_partitions;
mod preparation;
mod sessions;
mod slow_dead_letters;
mod unknown_codes;
mod write_concern;

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::{LogLine, Metrics, Worker, WorkerSetup, World, metric};

/// The limit for noticing the beginning or the end of an outage: two server selections of the driver, and the
/// start of a server on a busy machine.
const OUTAGE: Duration = Duration::from_secs(120);

/// A worker that notices within seconds that MongoDB is unavailable, and that it is back.
pub fn worker_with_short_timeouts(world: &World) -> WorkerSetup {
    let options = format!(
        "appName={}&serverSelectionTimeoutMS=2000&heartbeatFrequencyMS=500",
        world.app_name
    );
    world
        .worker()
        .set("mongodb.uri", world.servers.mongodb_with(&options))
        .set("mongodb.reconnect_interval_ms", 500)
        .set("consumer.max_retries", 2)
        .set("consumer.retry_backoff_ms", 200)
}

fn is_available(metrics: &Metrics) -> bool {
    metrics.sum(metric::MONGODB_AVAILABLE) == 1
}

fn settled(metrics: &Metrics) -> i64 {
    metrics.sum(metric::PROCESSED)
}

fn stored(metrics: &Metrics) -> i64 {
    metrics.sum(metric::STORED)
}

fn dead_lettered(metrics: &Metrics, reason: &str) -> i64 {
    metrics
        .get(metric::DEAD_LETTERS, &[("reason", reason)])
        .unwrap_or_default()
}

/// Waits until `more` more messages are stored.
#[track_caller]
fn wait_for_more_stored(worker: &mut Worker, more: i64) -> Metrics {
    let before = stored(&worker.metrics());
    worker.wait_until("more is stored", OUTAGE, |metrics| {
        stored(metrics) >= before + more
    })
}

/// The lines whose message contains `text`.
fn logged(worker: &Worker, text: &str) -> Vec<LogLine> {
    let mut lines = worker.log();
    lines.retain(|line| line.msg.contains(text));
    lines
}

/// Checks that the worker logged the beginning and the end of one outage, each once, and nothing else at level
/// ERROR. Returns the logged number of redirected messages.
#[track_caller]
fn assert_one_outage(worker: &Worker) -> i64 {
    let errors = worker.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(
        errors[0].msg.starts_with("MongoDB is unavailable"),
        "{errors:#?}"
    );
    let ends = logged(worker, "MongoDB is available again");
    assert_eq!(ends.len(), 1, "{ends:#?}");
    ends[0].number("redirected").unwrap()
}

/// Checks that everything below the group's committed offsets is stored or dead-lettered. The offsets are read
/// first, so that a commit that came too early is noticed.
#[track_caller]
fn assert_committed_is_settled(world: &World) {
    let committed = world.committed();
    let stored = world.stored().ids();
    let letters: HashSet<(i32, i64)> = world
        .dead_letters()
        .iter()
        .map(crate::harness::DeadLetter::source)
        .collect();
    for entry in world.ledger.entries() {
        let committed = committed.get(&entry.partition).copied().flatten();
        let is_committed = committed.is_some_and(|committed| entry.offset < committed);
        let id = entry.content.message_id();
        assert!(
            !is_committed
                || id.is_some_and(|id| stored.contains(&id))
                || letters.contains(&(entry.partition, entry.offset)),
            "partition {} is committed up to {committed:?}, but offset {} is neither stored nor dead-lettered",
            entry.partition,
            entry.offset
        );
    }
}
