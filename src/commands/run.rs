//! `run`: runs the worker until it is stopped.

use std::path::Path;

use log::{error, info, warn};

use super::output::{log_format, print_failure};
use crate::config::Config;
use crate::failure::Failure;
use crate::kafka::is_log_noise;
use crate::observe::http;
use crate::observe::log::{self as worker_log, Source};
use crate::runtime::{
    CaughtSignals, check_open_files, inherited_pause, instance, restart_in_place,
};
use crate::worker::{DataConsumer, Ended};

pub(super) fn run(config: Config, file: &Path, signals: CaughtSignals) -> Result<(), Failure> {
    let source = Source {
        group: config.kafka.group_id.clone(),
        instance: instance(),
    };
    let (level, format, topic) = (
        config.logging.level,
        log_format(&config),
        config.kafka.topic.clone(),
    );
    let warnings = config.warnings();
    // It reads files. While that takes long, a second signal still ends the process.
    let consumer = DataConsumer::new(config, file.to_owned(), inherited_pause());
    // The log starts the first thread.
    signals.hold().inspect_err(print_failure)?;
    worker_log::init(level, format, Some(source), |record| {
        is_log_noise(record) || http::is_log_noise(record)
    })
    .map_err(|error| Failure::running("can't start the log").because(error))
    .inspect_err(print_failure)?;
    info!(version = env!("CARGO_PKG_VERSION"), topic;
        "starting");
    for warning in warnings {
        warn!("{warning}");
    }
    let outcome = check_open_files()
        .inspect_err(|failure| error!("stopped: {}", failure.chain()))
        .and_then(|()| consumer.run(signals))
        .and_then(|ended| match ended {
            Ended::Stopped => Ok(()),
            Ended::Reloading {
                pause,
                restart,
                signals,
            } => {
                worker_log::flush();
                signals.end();
                if !restart.is_wanted() {
                    info!("stopped as asked");
                    return Ok(());
                }
                let failure = restart_in_place(pause.pause().as_ref());
                error!("stopped: {}", failure.chain());
                Err(failure)
            }
        });
    worker_log::flush();
    outcome
}
