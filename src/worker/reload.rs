//! Reads the configuration again at SIGHUP, and when a file that it names has changed, such as a certificate. If it can be
//! used, the worker stops in order and begins anew with it. If not, the worker goes on with what it has.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, after, bounded, never, select};
use log::{error, info};

use crate::config::Config;
use crate::core::time_limits::settle_time;
use crate::failure::Failure;
use crate::kafka::{check_login, property_errors};
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::observe::metrics::MetricsCollector;
use crate::runtime::{ProcessEvents, Restart, StopSignal};

/// How long the servers may take to accept the new logins.
const LONGEST_CHECK: Duration = Duration::from_secs(60);
/// The most bytes of a file that are compared: as long as a JSON Schema may be.
const LONGEST_FILE: u64 = 16 << 20;

/// A hash of each file that the configuration names. A file that can't be read is left out.
pub(super) type FileHashes = BTreeMap<PathBuf, u64>;

/// To be called as soon as the configuration is read: a file that changes later has to be noticed.
pub(super) fn hashes_of_files(config: &Config) -> FileHashes {
    let files = config.credential_files(env::vars_os());
    let hashed = files.into_iter().filter_map(|file| {
        let hash = hash_of(&file).ok()?;
        Some((file, hash))
    });
    hashed.collect()
}

/// The thread that reloads.
pub(super) struct Reloader {
    pub(super) config_file: PathBuf,
    /// What the worker runs with.
    pub(super) config: Config,
    /// The files as the worker has read them.
    pub(super) known: FileHashes,
    pub(super) hangups: Receiver<()>,
    pub(super) restart: Restart,
    pub(super) stop: StopSignal,
    pub(super) events: ProcessEvents,
    pub(super) metrics: Arc<MetricsCollector>,
}

/// Why a reload is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Hangup,
    ChangedFile,
}

impl Reloader {
    /// Runs until the stop, or until it has asked for the stop itself.
    pub(super) fn run(&self) {
        let mut failed = None;
        let mut under_way = None;
        while let Some(cause) = self.next_cause(&mut failed) {
            info!("reading the configuration again");
            match self.try_new_configuration(&mut under_way) {
                Ok(()) => {
                    info!("the new configuration can be used: stopping, to begin anew with it");
                    self.restart.ask();
                    let settle_time = settle_time(self.config.consumer.shutdown_timeout);
                    self.stop.ask(Instant::now() + settle_time);
                    self.events.stop_requested();
                    return;
                }
                Err(failure) => {
                    self.metrics.set_last_reload_successful(false);
                    let failure = (cause, failure.chain().to_string().replace('\n', "; "));
                    // A changed file is tried at every interval. A failure is logged again only after another one.
                    if cause == Cause::Hangup || failed.as_ref() != Some(&failure) {
                        let (_, why) = &failure;
                        error!(
                            "the configuration can't be reloaded, the worker goes on with the one it has: {why}"
                        );
                    }
                    failed = Some(failure);
                }
            }
        }
    }

    /// Waits for a reason to reload. `None` if the stop came first.
    fn next_cause(&self, failed: &mut Option<(Cause, String)>) -> Option<Cause> {
        let interval = self.config.consumer.reload_interval;
        loop {
            let tick = if interval.is_zero() || self.known.is_empty() {
                never()
            } else {
                after(interval)
            };
            select! {
                recv(self.hangups) -> _ => return (!self.stop.is_stopping()).then_some(Cause::Hangup),
                recv(self.stop.asked()) -> _ => return None,
                recv(tick) -> _ => {}
            }
            if hashes_of_files(&self.config) != self.known {
                return Some(Cause::ChangedFile);
            }
            if let Some((Cause::ChangedFile, _)) = failed {
                *failed = None;
                info!("the files of the configuration are again as the worker has read them");
                self.metrics.set_last_reload_successful(true);
            }
        }
    }

    /// Whether the configuration, as it is now, can be used. The servers are asked on a thread of its own, because some calls
    /// have no limit. `under_way` has the answer of an attempt that has taken too long: there is never a second one
    /// beside it.
    fn try_new_configuration(
        &self,
        under_way: &mut Option<Receiver<Result<(), Failure>>>,
    ) -> Result<(), Failure> {
        if let Some(answer) = under_way.take()
            && let Err(TryRecvError::Empty) = answer.try_recv()
        {
            *under_way = Some(answer);
            return Err(no_answer());
        }
        let (done, answer) = bounded(1);
        let file = self.config_file.clone();
        Builder::new()
            .name("reload-check".to_owned())
            .spawn(move || {
                // If the attempt has taken too long, the answer is fetched later, or never.
                let _ = done.send(check(&file));
            })
            .map_err(|error| Failure::running("can't start a thread").because(error))?;
        match answer.recv_timeout(LONGEST_CHECK) {
            Ok(checked) => checked,
            Err(RecvTimeoutError::Timeout) => {
                *under_way = Some(answer);
                Err(no_answer())
            }
            Err(RecvTimeoutError::Disconnected) => Err(Failure::running(
                "the check of the new configuration panicked",
            )),
        }
    }
}

fn no_answer() -> Failure {
    let limit = LONGEST_CHECK.as_secs();
    Failure::running(format!(
        "a server has accepted the connection and not answered within {limit} s"
    ))
}

/// Whether the configuration has no fault, and both servers accept its logins.
fn check(file: &Path) -> Result<(), Failure> {
    let config = Config::load(file, env::vars_os())?;
    let errors = property_errors(&config);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    check_login(&config)?;
    MongoDbHandler::connect(&config)
        .and_then(|mongodb| mongodb.check_target())
        .map(drop)
        .map_err(|error| match error {
            MongoDbError::Refused(why) => Failure::mongodb_refused().because(why),
            MongoDbError::Unavailable(why) => Failure::mongodb_unreachable().because(why),
        })
}

/// Of a directory, such as one with several authorities' certificates, the time of its last change counts.
fn hash_of(path: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        metadata.modified()?.hash(&mut hasher);
    } else {
        let mut content = Vec::new();
        file.take(LONGEST_FILE).read_to_end(&mut content)?;
        content.hash(&mut hasher);
    }
    Ok(hasher.finish())
}
