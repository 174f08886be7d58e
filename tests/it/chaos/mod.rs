//! Six workers under a steady load while workers and servers fail at random. At the end every message must be
//! stored or dead-lettered, and at no time may an unsettled message be committed.
//!
//! The seed determines which faults happen when. `scripts/chaos` starts long runs; a short one is a test like the
//! others.

mod draw;
mod load;
mod record;
mod servers;
mod timeline;
mod workers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use load::Load;
use servers::ChaosServers;
use timeline::Timeline;
use workers::Workers;

use crate::harness::{DeadLetter, WorkerSetup, World};

const PARTITIONS: i32 = 6;
const TICK: Duration = Duration::from_secs(5);
/// After the last fault, everything must be settled and committed within this time.
const PROGRESS: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy)]
struct Run {
    seed: u64,
    ticks: u64,
    workers: usize,
}

#[test]
fn short_chaos_run_loses_nothing() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().unwrap());
    let run = Run {
        seed: number("CHAOS_SEED").unwrap_or(SHORT_SEED),
        ticks: number("CHAOS_SECONDS").map_or(SHORT_TICKS, |seconds: u64| seconds / TICK.as_secs()),
        workers: number("CHAOS_WORKERS").map_or(6, |workers: u64| workers.try_into().unwrap()),
    };
    run.perform();
}

/// With this seed, mongod and the broker are killed, and most other kinds of faults occur.
const SHORT_SEED: u64 = 2625;
const SHORT_TICKS: u64 = 14;

impl Run {
    fn perform(self) {
        let redirects = draw::redirects(self.seed);
        let servers = ChaosServers::start();
        let world = World::on(servers.addresses(), PARTITIONS);
        world.admin.create_topic(&world.dead_letter_topic, 3, &[]);
        let mut stage = Stage {
            workers: Workers::start(setup(&world, redirects), self.workers),
            world,
            servers,
            committed: Vec::new(),
            checked: BTreeMap::new(),
            timeline: Timeline::new(self.seed),
        };
        stage
            .timeline
            .note(format!("{self:?}, redirects: {redirects}"));
        let load = Load::start(&stage.world, PARTITIONS);
        for tick in 0..self.ticks {
            let until = Instant::now() + TICK;
            stage.servers.update(tick, &mut stage.timeline);
            stage.workers.update(tick, &mut stage.timeline);
            // The first tick is for the group to form.
            if tick > 0 {
                let draw = draw::draw(self.seed, tick, self.workers);
                if let Some(fault) = draw.server {
                    stage.servers.begin_fault(fault, tick, &mut stage.timeline);
                }
                if let Some((worker, fault)) = draw.worker {
                    stage
                        .workers
                        .begin_fault(worker, fault, tick, &mut stage.timeline);
                }
            }
            stage.sample();
            wait_until(until);
        }

        stage.servers.update(u64::MAX, &mut stage.timeline);
        stage.workers.recover(self.ticks, &mut stage.timeline);
        let sent = load.stop();
        stage.timeline.note(format!("{sent} messages were sent"));
        stage.sample();
        stage.world.wait_committed_to_end(PROGRESS);
        stage.timeline.note("all is committed");
        stage.world.wait_replayed(PROGRESS);
        stage
            .timeline
            .note("all dead letters of outages are brought home");
        stage.assert_outages_are_healed();
        stage.sample();
        stage.workers.stop(self.ticks + 20, &mut stage.timeline);

        let mut allowed = Vec::new();
        if redirects {
            allowed.push("mongodb_unavailable");
        }
        if stage.timeline.explains_rejections() {
            allowed.push("write_rejected");
        }
        let report = stage.world.check_allowing(&allowed);
        stage.timeline.note(format!("{report:?}"));
        // The worker's own audit must agree with the ledger.
        let audit = setup(&stage.world, redirects).argument("audit").run();
        assert_eq!(audit.code, Some(0), "{}{}", audit.output, audit.errors);
        if let Some(file) = env::var_os("CHAOS_RECORD") {
            record::write(
                file.as_ref(),
                self,
                &stage.world,
                stage.timeline.disturbances(),
            );
        }
        eprintln!("seed {}: {report:?}", self.seed);
    }
}

fn setup(world: &World, redirects: bool) -> WorkerSetup {
    let options = format!(
        "appName={}&serverSelectionTimeoutMS=2000&heartbeatFrequencyMS=500",
        world.app_name
    );
    world
        .worker()
        .set("mongodb.uri", world.servers.mongodb_with(&options))
        .set(
            "mongodb.on_unavailable",
            if redirects { "dead_letter" } else { "pause" },
        )
        .set("mongodb.replay_after_outage", true)
        .set("mongodb.reconnect_interval_ms", 500)
        .set("consumer.batch_size", 50)
        .set("consumer.max_batch_size", 500)
        .set("consumer.writer_threads", 4)
        .set("consumer.retry_backoff_ms", 100)
        .set("consumer.offset_commit_interval_ms", 200)
        .set("consumer.shutdown_timeout_ms", 10_000)
        .consumer_property("session.timeout.ms", "6000")
        .consumer_property("heartbeat.interval.ms", "500")
        .consumer_property("max.poll.interval.ms", "15000")
}

type Offsets = BTreeMap<i32, Option<i64>>;

struct Stage {
    // They are dropped in this order: the world is cleaned up while its servers run.
    workers: Workers,
    world: World,
    servers: ChaosServers,
    /// Committed offsets that were read and not yet compared with what is settled.
    committed: Vec<Offsets>,
    /// The offset up to which all records of a partition were found settled.
    checked: BTreeMap<i32, i64>,
    timeline: Timeline,
}

impl Stage {
    /// Reads the committed offsets first, and then checks that everything below them is settled. So a commit that
    /// came too early is noticed.
    fn sample(&mut self) {
        if !self.servers.has_kafka() {
            return;
        }
        let now = self.world.committed();
        if let Some(before) = self.committed.last() {
            for (partition, offset) in before {
                assert!(
                    now[partition] >= *offset,
                    "the committed offset moved backwards: {before:?}, then {now:?}"
                );
            }
        }
        self.committed.push(now);
        if !self.servers.has_mongodb() {
            return;
        }
        let stored = self.world.stored().ids();
        let letters: HashSet<(i32, i64)> = self
            .world
            .dead_letters()
            .iter()
            .map(DeadLetter::source)
            .collect();
        let newest = self.committed.last().cloned().unwrap_or_default();
        let entries = self.world.ledger.entries();
        for entry in &entries {
            let end = newest.get(&entry.partition).copied().flatten().unwrap_or(0);
            let begin = self.checked.get(&entry.partition).copied().unwrap_or(0);
            if !(begin..end).contains(&entry.offset) {
                continue;
            }
            let id = entry.content.message_id();
            assert!(
                letters.contains(&(entry.partition, entry.offset))
                    || id.is_some_and(|id| stored.contains(&id)),
                "partition {} is committed up to {end}, but offset {} is neither stored nor dead-lettered",
                entry.partition,
                entry.offset
            );
        }
        for (partition, offset) in &newest {
            self.checked.insert(*partition, offset.unwrap_or(0));
        }
        self.committed = vec![newest];
    }

    /// Each message that was redirected during an outage is stored now, or MongoDB has refused it for another reason.
    fn assert_outages_are_healed(&self) {
        let stored = self.world.stored().ids();
        let letters = self.world.dead_letters();
        let (redirected, refused): (Vec<_>, Vec<_>) = letters
            .iter()
            .partition(|letter| letter.reason() == "mongodb_unavailable");
        let refused: HashSet<(i32, i64)> = refused.into_iter().map(DeadLetter::source).collect();
        let entries = self.world.ledger.entries();
        let ids: HashMap<(i32, i64), Option<String>> = entries
            .iter()
            .map(|entry| ((entry.partition, entry.offset), entry.content.message_id()))
            .collect();
        for place in redirected.into_iter().map(DeadLetter::source) {
            let id = ids[&place].as_ref();
            assert!(
                id.is_some_and(|id| stored.contains(id)) || refused.contains(&place),
                "the message at {place:?} was redirected and never stored"
            );
        }
    }
}

fn wait_until(end: Instant) {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // It may end early; the loop waits for the rest.
        thread::park_timeout(left);
    }
}
