//! Asks a running worker for its status.

use crate::cli::WorkerAddress;
use crate::commands::health::metrics_address;
use crate::config::Config;
use crate::control::{self, Reply, Request};
use crate::failure::Failure;
use crate::observe::status::Status;

/// Where the worker of this configuration answers: its control socket, or else its metrics port.
pub(super) fn address_of(config: &Config) -> Result<WorkerAddress, Failure> {
    match config.control.socket() {
        Some(socket) => Ok(WorkerAddress::Socket(socket.to_owned())),
        None => Ok(WorkerAddress::Http(
            metrics_address(&config.metrics)?.to_string(),
        )),
    }
}

/// Fails when the worker doesn't answer, or not with a status.
pub(super) fn ask(worker: &WorkerAddress) -> Result<Status, Failure> {
    match worker {
        WorkerAddress::Socket(socket) => match control::ask(socket, &Request::Status) {
            Ok(Reply::Status(status)) => Ok(*status),
            Ok(_) => Err(no_status(worker)),
            Err(error) => Err(Failure::running(format!("{worker}")).because(error)),
        },
        WorkerAddress::Http(address) => {
            let response = minreq::get(format!("http://{address}/status"))
                .with_timeout(control::TIMEOUT.as_secs())
                .send()
                .map_err(|error| {
                    Failure::running(format!("the worker doesn't answer on {address}"))
                        .because(error)
                })?;
            match response.status_code {
                200 => serde_json::from_slice(response.as_bytes())
                    .map_err(|error| no_status(worker).because(error)),
                _ => Err(no_status(worker)),
            }
        }
    }
}

fn no_status(worker: &WorkerAddress) -> Failure {
    Failure::running(format!(
        "what answers on {worker} is no worker, or one of another version"
    ))
}
