//! The worker as a process: the real binary, its log, its metrics and its exit code.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::http::{self, Answer};
use super::log::{Capture, LogLine};
use super::metrics::Metrics;
use super::process::{Signal, catches_sigterm, signal};
use super::waiting::{self, SHORT};

/// The most lines of a log that a failed test shows.
const SHOWN: usize = 60;

/// How a worker is started. Settings are named by the path of their key.
#[derive(Debug, Clone)]
pub struct WorkerSetup {
    environment: BTreeMap<String, String>,
    properties: BTreeMap<&'static str, Map<String, Value>>,
    arguments: Vec<String>,
    directory: PathBuf,
    config_file: PathBuf,
}

impl WorkerSetup {
    pub(super) fn new(directory: PathBuf) -> Self {
        let config_file = directory.join("config.json");
        if !config_file.exists() {
            std::fs::write(&config_file, "{}").unwrap();
        }
        Self {
            environment: BTreeMap::new(),
            properties: BTreeMap::new(),
            arguments: Vec::new(),
            directory,
            config_file,
        }
    }

    /// Sets a key through the environment: `set("consumer.batch_size", 10)`.
    #[must_use]
    pub fn set(self, key: &str, value: impl ToString) -> Self {
        let variable = format!("CONSUMER__{}", key.to_uppercase().replace('.', "__"));
        self.variable(&variable, value)
    }

    /// Sets any environment variable.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a value is a number or a text"
    )]
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Removes the value of a key.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        let variable = format!("CONSUMER__{}", key.to_uppercase().replace('.', "__"));
        self.environment.remove(&variable);
        self
    }

    /// Sets a librdkafka property of the consumer.
    #[must_use]
    pub fn consumer_property(self, name: &str, value: &str) -> Self {
        self.property("kafka.consumer_properties", name, value)
    }

    /// Sets a librdkafka property under `kafka.properties`, `kafka.consumer_properties` or
    /// `kafka.producer_properties`.
    #[must_use]
    pub fn property(mut self, key: &'static str, name: &str, value: &str) -> Self {
        let properties = self.properties.entry(key).or_default();
        properties.insert(name.to_owned(), value.into());
        let object = Value::Object(properties.clone()).to_string();
        self.set(key, object)
    }

    /// Uses this configuration file. By default the file is empty.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_file = path.into();
        self
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The command that starts the process, for tests that handle its output themselves.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-mongo-consumer"));
        for (name, _) in env::vars_os() {
            let is_ours = name.to_str().is_some_and(|name| {
                name.starts_with("CONSUMER_") || name.starts_with("AWS_") || name == "RUST_LOG"
            });
            if is_ours {
                command.env_remove(name);
            }
        }
        command
            .arg("--config")
            .arg(&self.config_file)
            .args(&self.arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the process without waiting for anything.
    pub fn start(&self) -> Worker {
        let mut child = self.command().spawn().unwrap();
        let (log_file, output_file) = self.free_files();
        Worker {
            log: Capture::start(child.stderr.take().unwrap(), &log_file),
            output: Capture::start(child.stdout.take().unwrap(), &output_file),
            log_file,
            child,
            status: None,
        }
    }

    /// Starts the process and waits until it ends by itself.
    #[track_caller]
    pub fn run(&self) -> Finished {
        self.start().finish()
    }

    fn free_files(&self) -> (PathBuf, PathBuf) {
        let mut number = 1;
        loop {
            let log = self.directory.join(format!("worker-{number}.log"));
            if !log.exists() {
                return (log.clone(), log.with_extension("out"));
            }
            number += 1;
        }
    }
}

/// The exit code and the output of a process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard error, line by line.
    pub log: Vec<LogLine>,
    /// Standard error as text.
    pub errors: String,
    /// Standard output as text.
    pub output: String,
}

fn text_of(lines: &[LogLine]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.raw.as_str()).collect();
    lines.join("\n")
}

/// A running worker. Dropping it kills the process and, if the test failed, prints the end of the log.
pub struct Worker {
    child: Child,
    log: Capture,
    output: Capture,
    log_file: PathBuf,
    status: Option<ExitStatus>,
}

impl Worker {
    /// Waits until the process ends.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = self.wait_exit(waiting::MINUTE);
        Finished {
            code: status.code(),
            log: self.log(),
            errors: text_of(&self.log()),
            output: text_of(&self.output.lines()),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.log.lines()
    }

    /// Standard output so far, as text.
    pub fn output(&self) -> String {
        text_of(&self.output.lines())
    }

    /// The lines of level ERROR so far, without those about rejected records.
    pub fn errors(&self) -> Vec<LogLine> {
        let mut lines = self.log();
        lines.retain(|line| line.is_error() && !line.is_rejection());
        lines
    }

    /// Whether a line's message contains `text`.
    pub fn has_logged(&self, text: &str) -> bool {
        self.log
            .find(|line| line.msg.contains(text).then_some(()))
            .is_some()
    }

    /// How many lines' messages contain `text`.
    pub fn times_logged(&self, text: &str) -> usize {
        self.log.count(|line| line.msg.contains(text))
    }

    /// The first line whose message contains `text`. The process must have ended: its log is complete then.
    #[track_caller]
    pub fn logged(&self, text: &str) -> LogLine {
        self.log
            .find(|line| line.msg.contains(text).then(|| line.clone()))
            .unwrap_or_else(|| panic!("it never logged `{text}`"))
    }

    #[track_caller]
    pub fn assert_no_errors(&self) {
        let errors = self.errors();
        assert!(errors.is_empty(), "the worker logged errors: {errors:#?}");
    }

    /// Waits for a line whose message contains `text`.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str, bound: Duration) -> LogLine {
        self.wait_for(&format!("it logs `{text}`"), bound, |worker| {
            worker
                .log
                .find(|line| line.msg.contains(text).then(|| line.clone()))
        })
    }

    /// Waits until `look` returns something. Panics if the process ends before.
    #[track_caller]
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        bound: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        waiting::until(what, bound, || {
            let seen = look(self);
            if seen.is_none() {
                let status = self.poll_exit();
                assert!(status.is_none(), "it ended ({status:?}) before {what}");
            }
            seen
        })
    }

    /// The address at which it serves its metrics; after a reload, the new one.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        self.wait_for("it serves its metrics", SHORT, Self::served_at)
    }

    fn served_at(&self) -> Option<SocketAddr> {
        self.log.find_last(|line| {
            line.msg
                .starts_with("serving /metrics")
                .then(|| line.text("address").unwrap().parse().unwrap())
        })
    }

    /// Requests a page; returns the status and the body.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> (u16, String) {
        let answer = self.request("GET", path);
        (answer.status, answer.body)
    }

    #[track_caller]
    pub fn request(&mut self, method: &str, path: &str) -> Answer {
        let address = self.address();
        http::request(address, method, path)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn metrics(&mut self) -> Metrics {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200);
        Metrics::parse(&body)
    }

    #[track_caller]
    pub fn is_ready(&mut self) -> bool {
        self.get("/ready").0 == 200
    }

    #[track_caller]
    pub fn wait_ready(&mut self) {
        // Asked at each look: a reload may change it.
        self.address();
        self.wait_for("it is ready", SHORT, |worker| {
            let address = worker.served_at()?;
            let answer = http::request(address, "GET", "/ready").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Waits until the metrics meet the condition. If they never do, the last ones are printed.
    #[track_caller]
    pub fn wait_until(
        &mut self,
        what: &str,
        bound: Duration,
        mut condition: impl FnMut(&Metrics) -> bool,
    ) -> Metrics {
        let started = Instant::now();
        loop {
            // Asked at each look: a reload may change it.
            let address = self.address();
            let scraped = http::request(address, "GET", "/metrics");
            if let Ok(answer) = &scraped {
                let metrics = Metrics::parse(&answer.body);
                if condition(&metrics) {
                    return metrics;
                }
                assert!(
                    started.elapsed() < bound,
                    "waited {bound:?} in vain until {what}; metrics:\n{metrics}"
                );
            }
            let status = self.poll_exit();
            assert!(status.is_none(), "it ended ({status:?}) before {what}");
            assert!(
                started.elapsed() < bound,
                "waited {bound:?} in vain until {what}: {scraped:?}"
            );
            waiting::pause();
        }
    }

    pub fn signal(&self, name: Signal) {
        assert!(self.status.is_none(), "it has ended already");
        signal(self.id(), name);
    }

    /// Waits until the process ends, for at most the time `bound`. The log is complete then.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> ExitStatus {
        let status = waiting::until("the worker ends", bound, || self.poll_exit());
        self.log.finish();
        self.output.finish();
        status
    }

    /// Stops it with SIGTERM, and expects exit code 0.
    #[track_caller]
    pub fn stop(&mut self) {
        waiting::until("it catches SIGTERM", SHORT, || {
            (self.poll_exit().is_some() || catches_sigterm(self.id())).then_some(())
        });
        self.signal(Signal::Term);
        let status = self.wait_exit(waiting::MINUTE);
        assert_eq!(status.code(), Some(0), "stopped with {status}");
    }

    /// Kills it with SIGKILL, as a crash would.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::Kill);
        self.wait_exit(SHORT);
    }

    /// The exit status, if the process has ended.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Both fail if it has just ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let lines = self.log.lines();
            let end = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!(
                "--- the end of the worker's log ({}):",
                self.log_file.display()
            );
            for line in end {
                eprintln!("{}", line.raw);
            }
        }
    }
}
