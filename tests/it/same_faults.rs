//! The cases of docs/RELIABILITY.md that are the same for the worker and for MongoDB's connector. The worker is always
//! tested. `scripts/peer-faults` has the connector run them as well, and writes down how both ended.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bson::doc;
use serde_json::{Value, json};

use crate::harness::{
    Fate, Json, Message, Only, OwnServers, Producer, Signal, Worker, World, signal, text, until,
};

const PARTITIONS: i32 = 2;
/// If nothing more is stored or dead-lettered for this long, the system stands still. It is more than a dead member's
/// session and the driver's longest wait for a server.
const STANDSTILL: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);
const SLICE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Worker,
    /// With this value of `mongo.errors.tolerance`.
    Connector(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Killed,
    MongodbAway,
    Poison,
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    Case::Killed.run();
}

#[test]
fn an_absence_of_mongodb_loses_nothing() {
    Case::MongodbAway.run();
}

#[test]
fn poison_messages_lose_nothing() {
    Case::Poison.run();
}

impl Case {
    fn name(self) -> String {
        match self {
            Self::Killed => "killed with SIGKILL in the middle, started again".to_owned(),
            Self::MongodbAway => format!("MongoDB away for {} s", absence().as_secs()),
            Self::Poison => "messages that can't be stored".to_owned(),
        }
    }

    fn run(self) {
        let peers = env::var_os("PEER_FAULTS_OUT").map(PathBuf::from);
        let mut systems = vec![System::Worker];
        if peers.is_some() {
            systems.extend(["all", "data"].map(System::Connector));
        }
        let runs: Vec<Value> = systems
            .into_iter()
            .map(|system| self.run_with(system, peers.as_deref()))
            .collect();
        if let Some(out) = peers {
            let case = json!({ "name": self.name(), "runs": runs });
            let file = out.join(format!("{self:?}.json"));
            fs::write(file, format!("{case:#}\n")).unwrap();
        }
    }

    fn run_with(self, system: System, out: Option<&Path>) -> Value {
        let mongodb = OwnServers::start(&format!("same-{self:?}"), Only::Mongodb);
        let world = World::on(mongodb.servers(), PARTITIONS);
        world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
        let log = out.map(|out| out.join(format!("{self:?}-{}.log", system.settings())));
        let start = || Running::start(system, &world, log.as_deref());
        let producer = Producer::new(&world);
        let stored = || world.stored().documents().estimated_document_count().run();
        let mut running = match self {
            Self::Killed => {
                producer.fill(0..200_000, PARTITIONS);
                let mut running = start();
                until("a part is stored", LONG, || {
                    (stored().unwrap() > 20_000).then_some(())
                });
                running.kill();
                assert!(stored().unwrap() < 200_000, "the kill came too late");
                start()
            }
            Self::MongodbAway => {
                producer.fill(0..100_000, PARTITIONS);
                let running = start();
                until("a part is stored", LONG, || {
                    (stored().unwrap() > 20_000).then_some(())
                });
                // Frozen first, so that every writer is in the middle of a call when it is killed.
                mongodb.signal("mongodb", Signal::Stop);
                wait(SLICE);
                mongodb.signal("mongodb", Signal::Kill);
                producer.fill(100_000..120_000, PARTITIONS);
                wait(absence());
                mongodb.restart();
                running
            }
            Self::Poison => {
                let refused = doc! { "name": { "$ne": "refused" } };
                let database = world.mongodb();
                let collection = database.create_collection("messages");
                collection.validator(refused).run().unwrap();
                produce_poison(&producer);
                start()
            }
        };

        let mut end = "by itself";
        if !settles(&world, self) {
            // What an operator, or something that watches it, does.
            running.terminate();
            running = start();
            end = if settles(&world, self) {
                "stood still until it was restarted"
            } else {
                "stands still, also after a restart"
            };
        }
        running.terminate();
        let counts = Counts::of(&world);
        if system == System::Worker {
            assert_eq!(end, "by itself");
            assert_eq!((counts.lost, counts.unread), (0, 0), "{counts:?}");
            assert_eq!(counts.stored_twice, 0, "{counts:?}");
        }
        eprintln!("{self:?}, {system:?}: {counts:?}, {end}");
        json!({
            "system": system.name(),
            "settings": system.settings(),
            "produced": counts.produced,
            "stored": counts.stored,
            "dead_lettered": counts.dead_lettered,
            "lost": counts.lost,
            "unread": counts.unread,
            "stored_twice": counts.stored_twice,
            "end": end,
        })
    }
}

/// The tests of the worker alone don't take as long as the published case.
fn absence() -> Duration {
    let is_published = env::var_os("PEER_FAULTS_OUT").is_some();
    Duration::from_secs(if is_published { 20 } else { 5 })
}

/// A hundred good messages before each bad one.
fn produce_poison(producer: &Producer) {
    let mut number = 0;
    let mut send = |message: &dyn Fn(u64) -> Message| {
        producer.fill(number..number + 100, PARTITIONS);
        number += 100;
        producer.send_now(message(number).partition(0));
        number += 1;
    };
    for _ in 0..10 {
        send(&|number| Message::refused(format!("no JSON {number}"), "invalid_json"));
        send(&|number| Message::refused(format!("[{number}]"), "not_an_object"));
        send(&|number| {
            let json = Json::message(&format!("refused-{number}"));
            let json = json.set("name", text("refused"));
            Message::stored(json).fate(Fate::DeadLettered("write_rejected"))
        });
    }
}

/// Waits until everything has its end. False: nothing happens any more before that.
fn settles(world: &World, case: Case) -> bool {
    let mut last = (0, 0);
    let mut since = Instant::now();
    loop {
        let counts = Counts::of(world);
        if counts.lost + counts.unread == 0 {
            return true;
        }
        let now = (counts.stored, counts.dead_lettered);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > STANDSTILL {
            eprintln!("{case:?}: it stands still: {counts:?}");
            return false;
        }
        wait(SLICE);
    }
}

/// Where the messages are, by their content alone: the connector's documents have other `_id`s than the worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    produced: i64,
    stored: i64,
    dead_lettered: i64,
    /// In neither place, and the group has committed an offset beyond it.
    lost: i64,
    /// In neither place, and the group hasn't committed an offset beyond it.
    unread: i64,
    stored_twice: i64,
}

impl Counts {
    fn of(world: &World) -> Self {
        let documents = world.stored().documents();
        let projection = doc! { "message_id": 1, "_id": 0 };
        let found = documents.find(doc! {}).projection(projection);
        let mut ids = HashSet::new();
        let mut count = 0;
        for document in found.batch_size(20_000).run().unwrap() {
            count += 1;
            if let Ok(id) = document.unwrap().get_str("message_id") {
                ids.insert(id.to_owned());
            }
        }
        let letters = world.dead_letters().into_iter();
        let letters: HashSet<Vec<u8>> = letters.filter_map(|letter| letter.value).collect();
        let committed = world.committed();
        let mut counts = Self {
            produced: world.ledger.len(),
            stored: 0,
            dead_lettered: 0,
            lost: 0,
            unread: 0,
            stored_twice: count - i64::try_from(ids.len()).unwrap(),
        };
        for entry in world.ledger.entries() {
            let id = entry.content.message_id();
            let is_stored = id.is_some_and(|id| ids.contains(&id));
            let value = entry.content.value();
            let is_dead_lettered = value.is_some_and(|value| letters.contains(&*value));
            counts.stored += i64::from(is_stored);
            counts.dead_lettered += i64::from(is_dead_lettered);
            if !is_stored && !is_dead_lettered {
                let committed = committed.get(&entry.partition).copied().flatten();
                if committed.is_some_and(|committed| entry.offset < committed) {
                    counts.lost += 1;
                } else {
                    counts.unread += 1;
                }
            }
        }
        counts
    }
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Worker => "this worker",
            Self::Connector(_) => "MongoDB's connector",
        }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Worker => "default settings",
            Self::Connector(tolerance) => tolerance,
        }
    }
}

/// A running system. Dropping it kills it.
enum Running {
    Worker(Worker),
    Connector(Child),
}

impl Running {
    fn start(system: System, world: &World, log: Option<&Path>) -> Self {
        match system {
            System::Worker => {
                let setup = world.worker();
                Self::Worker(
                    setup
                        .consumer_property("session.timeout.ms", "10000")
                        .start(),
                )
            }
            System::Connector(tolerance) => Self::Connector(connector(world, tolerance, log)),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Worker(worker) => worker.kill(),
            Self::Connector(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }

    fn terminate(&mut self) {
        match self {
            Self::Worker(worker) => worker.stop(),
            Self::Connector(child) => {
                if child.try_wait().unwrap().is_none() {
                    signal(child.id(), Signal::Term);
                    until("the connector ends", LONG, || child.try_wait().unwrap());
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Connector(child) = self {
            // Both fail if it has just ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn connector(world: &World, tolerance: &str, log: Option<&Path>) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers/kafka_connect");
    let log = log.expect("the connector runs only where its log has a place");
    let log = File::options().create(true).append(true).open(log).unwrap();
    Command::new(script)
        .arg("run")
        .args(["--brokers", &world.servers.kafka])
        .args(["--mongodb", &world.servers.mongodb])
        .args(["--topic", &world.topic, "--group", &world.group])
        .args(["--database", &world.database, "--collection", "messages"])
        .args(["--batch", "100", "--tolerance", tolerance])
        .args(["--dead-letters", &world.dead_letter_topic])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn wait(duration: Duration) {
    let until = Instant::now() + duration;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // It may end early; the loop waits for the rest.
        thread::park_timeout(left);
    }
}
