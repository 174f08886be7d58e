//! The measured systems: the worker, its ceiling, and other systems that do the same job.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Result;
use crate::context::Context;

/// The collection that every system writes to; the bare loop has this name built in.
pub const COLLECTION: &str = "messages";

/// A program that moves a topic into MongoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    Worker,
    /// The least program with the worker's libraries: the most that they allow.
    BareLoop,
    /// `scripts/peers/NAME`.
    Peer(String),
}

/// How many messages a batch may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    Fixed(u32),
    /// As in `config.json`, where the worker's batches grow with the backlog.
    AsShipped,
}

impl BatchSize {
    /// The size for a system other than the worker: its batches don't grow.
    fn number(self) -> u32 {
        match self {
            Self::Fixed(size) => size,
            Self::AsShipped => SHIPPED_BATCH_SIZE,
        }
    }
}

impl From<u32> for BatchSize {
    fn from(size: u32) -> Self {
        Self::Fixed(size)
    }
}

/// `consumer.batch_size` of `config.json`.
const SHIPPED_BATCH_SIZE: u32 = 100;

/// The job of a system in one run.
#[derive(Debug, Clone)]
pub struct Job {
    pub topic: String,
    /// The consumer group and the database: both are new for each run.
    pub run: String,
    pub batch_size: BatchSize,
    /// How many writer threads; `None` is the worker's default.
    pub writers: Option<u32>,
    /// Where the worker serves its metrics; 0 is any free port.
    pub metrics_port: u16,
}

impl Job {
    pub fn new(topic: &str, run: &str, batch_size: impl Into<BatchSize>) -> Self {
        Self {
            topic: topic.to_owned(),
            run: run.to_owned(),
            batch_size: batch_size.into(),
            writers: None,
            metrics_port: 0,
        }
    }
}

impl System {
    pub fn name(&self) -> &str {
        match self {
            Self::Worker => "worker",
            Self::BareLoop => "bare_loop",
            Self::Peer(name) => name,
        }
    }

    pub fn command(&self, context: &Context, job: &Job) -> Command {
        match self {
            Self::Worker => worker(context, job, "run"),
            Self::BareLoop => bare_loop(context, job),
            Self::Peer(name) => peer(context, name, job),
        }
    }

    /// The settings that it runs with, for the record.
    pub fn settings(&self, context: &Context, batch_size: impl Into<BatchSize>) -> Result<Value> {
        let batch_size = batch_size.into();
        let mut command = match self {
            Self::Worker => worker(context, &Job::new("TOPIC", "RUN", batch_size), "check"),
            Self::BareLoop => {
                return Ok(json!({
                    "batch_size": batch_size.number(), "writers": context.default_writers,
                    "the rest": "in tools/bare-loop",
                }));
            }
            Self::Peer(name) => {
                let mut command = Command::new(launcher(context, name));
                command.args(["settings", "--batch", &batch_size.number().to_string()]);
                command
            }
        };
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("{} does not say its settings", self.name()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The shipped configuration; the caller's environment doesn't override it.
fn worker(context: &Context, job: &Job, subcommand: &str) -> Command {
    let mut command = Command::new(context.binary("kafka-mongo-consumer"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CONSUMER_") || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command
        .arg("--config")
        .arg(context.project.join("config.json"))
        .arg(subcommand);
    command.envs([
        ("CONSUMER__KAFKA__BOOTSTRAP_SERVERS", &*context.brokers),
        ("CONSUMER__KAFKA__TOPIC", &job.topic),
        ("CONSUMER__KAFKA__GROUP_ID", &job.run),
        ("CONSUMER__MONGODB__URI", &context.mongodb_uri),
        ("CONSUMER__MONGODB__DATABASE", &job.run),
        ("CONSUMER__MONGODB__COLLECTION", COLLECTION),
        ("CONSUMER__METRICS__HOST", "127.0.0.1"),
        ("CONSUMER__METRICS__PORT", &job.metrics_port.to_string()),
    ]);
    if let BatchSize::Fixed(size) = job.batch_size {
        let size = size.to_string();
        command.env("CONSUMER__CONSUMER__BATCH_SIZE", &size);
        command.env("CONSUMER__CONSUMER__MAX_BATCH_SIZE", size);
    }
    if let Some(writers) = job.writers {
        command.env("CONSUMER__CONSUMER__WRITER_THREADS", writers.to_string());
    }
    command
}

/// It ends by itself after its count; a count that is never reached keeps it running while it is measured.
fn bare_loop(context: &Context, job: &Job) -> Command {
    let mut command = Command::new(context.binary("bare-loop"));
    let writers = job.writers.unwrap_or(context.default_writers);
    command
        .args(["--brokers", &context.brokers])
        .args(["--mongodb", &context.mongodb_uri])
        .args(["--topic", &job.topic, "--group", &job.run])
        .args(["--database", &job.run])
        .args(["--batch-size", &job.batch_size.number().to_string()])
        .args(["--writers", &writers.to_string()])
        .args(["--count", &u64::MAX.to_string()]);
    command
}

fn peer(context: &Context, name: &str, job: &Job) -> Command {
    let mut command = Command::new(launcher(context, name));
    command
        .arg("run")
        .args(["--brokers", &context.brokers])
        .args(["--mongodb", &context.mongodb_uri])
        .args(["--topic", &job.topic, "--group", &job.run])
        .args(["--database", &job.run, "--collection", COLLECTION])
        .args(["--batch", &job.batch_size.number().to_string()]);
    command
}

fn launcher(context: &Context, name: &str) -> impl AsRef<Path> + AsRef<std::ffi::OsStr> {
    context.project.join("scripts/peers").join(name)
}
