//! `run`: runs the worker until it is stopped.

use log::{error, info, warn};

use crate::config::{Config, LogFormat as ConfiguredFormat};
use crate::failure::Failure;
use crate::observe::log::{self as worker_log, LogFormat};
use crate::runtime::check_open_files;
use crate::worker::DataConsumer;

pub(super) fn run(config: Config) -> Result<(), Failure> {
    let format = match config.logging.format {
        ConfiguredFormat::Json => LogFormat::Json,
        ConfiguredFormat::Text => LogFormat::Text,
    };
    worker_log::init(config.logging.level, format)
        .map_err(|error| Failure::running(error.to_string()))?;
    info!(version = env!("CARGO_PKG_VERSION"), topic = config.kafka.topic, group = config.kafka.group_id;
        "starting");
    for warning in config.warnings() {
        warn!("{warning}");
    }
    check_open_files().inspect_err(|failure| error!("stopped: {}", failure.chain()))?;
    DataConsumer::new(config).run()
}
