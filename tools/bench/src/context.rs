//! What every row needs: the servers, the binaries, topics with messages, databases.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::IndexModel;
use mongodb::options::ClientOptions;
use mongodb::sync::{Client, Collection};

use crate::Result;
use crate::pause;
use crate::systems::{COLLECTION, System};

/// Lets background work that a run caused in the server end before the next run.
const SETTLING: Duration = Duration::from_secs(2);

pub struct Context {
    pub project: PathBuf,
    /// The folder with the release binaries.
    pub binaries: PathBuf,
    pub out: PathBuf,
    pub brokers: String,
    pub mongodb_uri: String,
    pub client: Client,
    pub rounds: u32,
    pub quick: bool,
    pub peers: Vec<System>,
    /// `consumer.writer_threads` of the shipped configuration.
    pub default_writers: u32,
    topics: RefCell<HashSet<String>>,
    started: Instant,
}

/// What a topic holds.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub partitions: u32,
    pub count: u64,
    /// Bytes of a message; 0 is the generator's default of about 167.
    pub size: u32,
}

impl Context {
    pub fn new(arguments: &crate::Measure) -> Result<Self> {
        let mut options = ClientOptions::parse(&arguments.mongodb).run()?;
        // Another application name than the worker's: a fail point selects the worker's connections by that name.
        options.app_name = Some(String::from("bench"));
        let config = std::fs::read(arguments.project.join("config.json"))?;
        let config: serde_json::Value = serde_json::from_slice(&config)?;
        let writers = config["consumer"]["writer_threads"].as_u64();
        std::fs::create_dir_all(arguments.out.join("logs"))?;
        Ok(Self {
            project: arguments.project.clone(),
            binaries: arguments.binaries.clone(),
            out: arguments.out.clone(),
            brokers: arguments.brokers.clone(),
            mongodb_uri: arguments.mongodb.clone(),
            client: Client::with_options(options)?,
            rounds: arguments.rounds(),
            quick: arguments.quick,
            peers: arguments.peers.iter().cloned().map(System::Peer).collect(),
            default_writers: u32::try_from(writers.ok_or("config.json has no writer_threads")?)?,
            topics: RefCell::default(),
            started: Instant::now(),
        })
    }

    /// `full`, or `quick` where the benchmark itself is tried.
    pub fn scale<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Prints the progress.
    pub fn say(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs();
        eprintln!("bench: {}:{:02} {what}", seconds / 60, seconds % 60);
    }

    pub fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.out.join("logs").join(format!("{name}.log"))
    }

    /// The topic with this load, which is filled when it is first asked for.
    pub fn topic(&self, load: Load) -> Result<String> {
        let Load {
            partitions,
            count,
            size,
        } = load;
        let name = format!("load-{partitions}-partitions-{count}-of-{size}");
        if self.topics.borrow_mut().insert(name.clone()) {
            self.say(&format!("filling {name}"));
            self.fill(&name, load)?;
        }
        Ok(name)
    }

    /// Creates a topic and fills it.
    pub fn fill(&self, topic: &str, load: Load) -> Result<()> {
        let status = self
            .load_generator(topic)
            .args(["--partitions", &load.partitions.to_string()])
            .args(["--count", &load.count.to_string()])
            .args(["--size", &load.size.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("could not fill `{topic}`: {status}").into())
        }
    }

    pub fn load_generator(&self, topic: &str) -> Command {
        let mut command = Command::new(self.binary("load-generator"));
        command
            .args(["--brokers", &self.brokers])
            .args(["--topic", topic]);
        command
    }

    pub fn collection(&self, database: &str) -> Collection<Document> {
        self.client.database(database).collection(COLLECTION)
    }

    /// An empty collection with the index that the worker would create, so that every system writes to the same
    /// kind of collection.
    pub fn prepare_database(&self, database: &str) -> Result<Collection<Document>> {
        let collection = self.collection(database);
        collection.drop().run()?;
        let index = IndexModel::builder().keys(doc! { "created_at": 1 }).build();
        collection.create_index(index).run()?;
        self.settle()?;
        Ok(collection)
    }

    pub fn drop_database(&self, database: &str) -> Result<()> {
        Ok(self.client.database(database).drop().run()?)
    }

    /// Makes the server write to disk what it has buffered.
    fn settle(&self) -> Result<()> {
        let admin = self.client.database("admin");
        admin.run_command(doc! { "fsync": 1 }).run()?;
        pause(self.scale(SETTLING, SETTLING / 10));
        Ok(())
    }
}
