//! A test's own topic, dead letter topic, group and database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bson::{Bson, Document};
use mongodb::sync::{Client, Database};

use super::admin::Admin;
use super::dead_letters::{self, DeadLetter};
use super::fail_point::FailPoint;
use super::ledger::{Ledger, Report};
use super::offsets::{Bounds, Observer};
use super::own_servers::{Only, OwnServers};
use super::servers::Servers;
use super::stored::Stored;
use super::waiting;
use super::worker::WorkerSetup;

/// What one test uses. Dropping it after a test that passed deletes the topics, the group and the database. After a
/// test that failed they are kept, and their names are printed.
pub struct World {
    pub servers: Servers,
    pub topic: String,
    pub dead_letter_topic: String,
    pub group: String,
    pub database: String,
    /// The application name of this world's connections to MongoDB. Fail points apply to this name only.
    pub app_name: String,
    /// The beginning of the ids of its messages.
    pub prefix: &'static str,
    pub ledger: Arc<Ledger>,
    pub admin: Admin,
    directory: PathBuf,
    client: Client,
    observer: Observer,
    /// Dropped last: the world's own drop still uses MongoDB.
    own_mongodb: Option<OwnServers>,
}

impl World {
    /// A world with a topic of this many partitions, on the shared servers.
    pub fn new(partitions: i32) -> Self {
        Self::with_topic(partitions, &[])
    }

    /// A world with a topic of this many partitions and these settings.
    pub fn with_topic(partitions: i32, settings: &[(&str, &str)]) -> Self {
        let world = Self::bare(Servers::of_the_run());
        world.admin.create_topic(&world.topic, partitions, settings);
        world
    }

    /// A world with a topic of this many partitions, on other servers.
    pub fn on(servers: Servers, partitions: i32) -> Self {
        let world = Self::bare(servers);
        world.admin.create_topic(&world.topic, partitions, &[]);
        world
    }

    /// A world with a topic of this many partitions, and a MongoDB of its own: for tests with fail points, because a
    /// server has only one.
    pub fn with_own_mongodb(partitions: i32) -> Self {
        let own = OwnServers::start(&test_name(), Only::Mongodb);
        let mut world = Self::on(own.servers(), partitions);
        world.own_mongodb = Some(own);
        world
    }

    /// A world without a topic.
    pub fn bare(servers: Servers) -> Self {
        let random = RandomState::new().build_hasher().finish();
        // The name of a database has at most 63 bytes.
        let name: String = test_name().chars().take(46).collect();
        let name = format!("{name}-{:08x}", random & 0xffff_ffff);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&directory).unwrap();
        let client = Client::with_uri_str(&servers.mongodb).unwrap();
        Self {
            admin: Admin::new(&servers.kafka),
            observer: Observer::new(&servers.kafka, &name),
            servers,
            topic: name.clone(),
            dead_letter_topic: format!("{name}.dead"),
            group: name.clone(),
            database: name.clone(),
            app_name: name,
            prefix: "msg",
            ledger: Arc::default(),
            directory,
            client,
            own_mongodb: None,
        }
    }

    /// A worker for this world. All other settings have their defaults.
    pub fn worker(&self) -> WorkerSetup {
        let app_name = format!("appName={}", self.app_name);
        WorkerSetup::new(self.directory.clone())
            .set("kafka.bootstrap_servers", &self.servers.kafka)
            .set("kafka.topic", &self.topic)
            .set("kafka.group_id", &self.group)
            .set("kafka.dead_letter_topic", &self.dead_letter_topic)
            .set("mongodb.uri", self.servers.mongodb_with(&app_name))
            .set("mongodb.database", &self.database)
            .set("metrics.host", "127.0.0.1")
            .set("metrics.port", 0)
    }

    /// The path of a file or folder that the test may use.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The collection that the worker writes to by default.
    pub fn stored(&self) -> Stored {
        Stored::new(&self.client, &self.database, "messages")
    }

    pub fn mongodb(&self) -> Database {
        self.client.database(&self.database)
    }

    /// All records of the dead letter topic, up to its current end.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        dead_letters::read(&self.servers.kafka, &self.dead_letter_topic)
    }

    /// Partition and offset of every record that is still in the source topic.
    pub fn remaining(&self) -> BTreeSet<(i32, i64)> {
        dead_letters::read(&self.servers.kafka, &self.topic)
            .into_iter()
            .map(|record| (record.partition, record.offset))
            .collect()
    }

    /// Makes MongoDB fail commands of this world; see [`FailPoint`].
    #[track_caller]
    pub fn fail_point(&self, mode: impl Into<Bson>, data: Document) -> FailPoint {
        self.own_mongodb();
        FailPoint::enable(&self.client, &self.app_name, mode, data)
    }

    /// No index of a collection with documents is built until this is dropped.
    #[track_caller]
    pub fn hold_index_builds(&self) -> FailPoint {
        self.own_mongodb();
        FailPoint::hold_index_builds(&self.client)
    }

    /// The MongoDB that no other test uses.
    #[track_caller]
    pub fn own_mongodb(&self) -> &OwnServers {
        self.own_mongodb.as_ref().expect(
            "a fault of the server needs `World::with_own_mongodb`: others use the shared MongoDB at the same time",
        )
    }

    /// The group's committed offset of each partition.
    pub fn committed(&self) -> BTreeMap<i32, Option<i64>> {
        self.observer.committed(&self.topic)
    }

    /// Whether the source topic exists.
    pub fn has_topic(&self) -> bool {
        self.observer.has_topic(&self.topic)
    }

    pub fn has_dead_letter_topic(&self) -> bool {
        self.observer.has_topic(&self.dead_letter_topic)
    }

    /// Commits an offset for the group, which must have no members.
    pub fn commit(&self, partition: i32, offset: i64) {
        self.observer.commit(&self.topic, partition, offset);
    }

    /// The texts that are stored with the group's commits.
    pub fn committed_texts(&self) -> BTreeMap<i32, String> {
        self.observer.committed_texts(&self.topic)
    }

    /// Commits an offset with a text for the group, which must have no members.
    pub fn commit_with_text(&self, partition: i32, offset: i64, text: &str) {
        self.observer
            .commit_with_text(&self.topic, partition, offset, text);
    }

    /// The bounds of each partition of the source topic.
    pub fn bounds(&self) -> BTreeMap<i32, Bounds> {
        self.observer.bounds(&self.topic)
    }

    /// The number of members of the group.
    pub fn members(&self) -> usize {
        self.observer.members(&self.group)
    }

    /// Waits until the group has committed the end of every partition. The ends are read each time, because
    /// the markers of a transaction may be written after its end was acknowledged.
    #[track_caller]
    pub fn wait_committed_to_end(&self, bound: Duration) {
        let started = Instant::now();
        loop {
            let ends = self.ends();
            let committed = self.committed();
            if committed == ends {
                return;
            }
            assert!(
                started.elapsed() < bound,
                "waited {bound:?} in vain until {ends:?} is committed, not {committed:?}"
            );
            waiting::pause();
        }
    }

    /// Waits until the workers have looked at every dead letter there is, and have settled those of an outage.
    #[track_caller]
    pub fn wait_replayed(&self, bound: Duration) {
        let observer = Observer::new(&self.servers.kafka, &replay_group(&self.group));
        waiting::until("all dead letters are looked at", bound, || {
            let committed = observer.committed(&self.dead_letter_topic);
            let ends = observer.bounds(&self.dead_letter_topic);
            let is_done = |(partition, bounds): (&i32, &Bounds)| {
                committed.get(partition).copied().flatten().unwrap_or(0) == bounds.end
            };
            ends.iter().all(is_done).then_some(())
        });
    }

    /// The number of workers that bring home the dead letters of an outage.
    pub fn replaying_members(&self) -> usize {
        self.observer.members(&replay_group(&self.group))
    }

    fn ends(&self) -> BTreeMap<i32, Option<i64>> {
        let bounds = self.bounds();
        assert!(!bounds.is_empty(), "there is no topic {}", self.topic);
        bounds
            .into_iter()
            .map(|(partition, bounds)| (partition, Some(bounds.end)))
            .collect()
    }

    /// Checks that every record is where it must be, once.
    #[track_caller]
    pub fn check(&self) -> Report {
        self.check_allowing(&[])
    }

    /// The same check, but records may be in the dead letter topic for these reasons, as after an outage.
    #[track_caller]
    pub fn check_allowing(&self, reasons: &[&str]) -> Report {
        self.ledger
            .check(&self.stored().read(), &self.dead_letters(), reasons)
    }
}

/// The workers' group for the dead letters of an outage.
fn replay_group(group: &str) -> String {
    format!("{group}.replay.mongodb_unavailable")
}

/// Waits until the group has committed these offsets, of partitions 0, 1, 2, …
#[track_caller]
pub fn wait_for_commits(world: &World, offsets: &[i64]) {
    let expected: BTreeMap<i32, Option<i64>> = (0..)
        .zip(offsets.iter().map(|offset| Some(*offset)))
        .collect();
    waiting::until(&format!("{offsets:?} is committed"), waiting::SHORT, || {
        (world.committed() == expected).then_some(())
    });
}

/// The name of the running test, without its module.
fn test_name() -> String {
    let thread = thread::current();
    let name = thread.name().and_then(|name| name.split("::").last());
    name.unwrap_or("test").to_owned()
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "--- kept for a look: topic {}, {}, group {}, database {}, logs in {}",
                self.topic,
                self.dead_letter_topic,
                self.group,
                self.database,
                self.directory.display()
            );
            return;
        }
        // Errors don't matter: a test's own servers may have ended already.
        let _ = self.mongodb().drop().run();
        self.admin
            .delete_topics(&[&self.topic, &self.dead_letter_topic]);
        let _ = fs::remove_dir_all(&self.directory);
    }
}
