//! Reads the configuration again at SIGHUP, and when a file with a certificate or a password has changed. If it can be
//! used, the worker stops in order and begins anew with it. If not, the worker goes on with what it has.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, after, never, select};
use log::{error, info};

use crate::config::Config;
use crate::core::time_limits::settle_time;
use crate::failure::Failure;
use crate::kafka::{check_login, property_errors};
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::observe::metrics::MetricsCollector;
use crate::runtime::{ProcessEvents, Restart, StopSignal};

/// The most bytes of a file that are compared.
const LONGEST_FILE: u64 = 1024 * 1024;

/// A hash of each file with a certificate or a password. A file that can't be read is left out.
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
        while let Some(cause) = self.next_cause(&mut failed) {
            match self.new_configuration() {
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

    /// Whether the configuration, as it is now, can be used: it has no fault, and both servers accept its logins.
    fn new_configuration(&self) -> Result<(), Failure> {
        let config = Config::load(&self.config_file, env::vars_os())?;
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
