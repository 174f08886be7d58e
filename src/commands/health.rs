//! `health`: asks the worker that runs on this host. For a container's health check, which has no HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::output;
use crate::cli::Health;
use crate::config::{Config, Metrics};
use crate::failure::Failure;

/// An orchestrator waits for about as long.
const TIMEOUT_SECONDS: u64 = 5;

/// Prints the worker's answer. Fails when the worker doesn't answer, or not with 200.
pub(super) fn health(config: &Config, arguments: Health) -> Result<(), Failure> {
    let address = metrics_address(&config.metrics)?;
    let path = if arguments.ready { "ready" } else { "health" };
    let response = minreq::get(format!("http://{address}/{path}"))
        .with_timeout(TIMEOUT_SECONDS)
        .send()
        .map_err(|error| {
            Failure::running(format!("the worker doesn't answer on {address}")).because(error)
        })?;
    output::print(response.as_bytes())?;
    output::print(b"\n")?;
    match response.status_code {
        200 => Ok(()),
        other => Err(Failure::running(format!(
            "the worker answered /{path} with {other}"
        ))),
    }
}

/// Where a worker with this configuration, on this host, serves its metrics. Fails when it serves none, or on any port.
pub(super) fn metrics_address(metrics: &Metrics) -> Result<SocketAddr, Failure> {
    if !metrics.enabled {
        return Err(Failure::configuration(
            "`metrics.enabled` is false, so that the worker can't be asked",
        ));
    }
    if metrics.port == 0 {
        return Err(Failure::configuration(
            "`metrics.port` is 0, so that nobody knows the worker's port: set it to a fixed one",
        ));
    }
    // A worker that listens on all addresses listens on this one, too.
    let host = match metrics.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    Ok(SocketAddr::new(host, metrics.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_on_all_addresses_is_asked_on_the_loopback() {
        let address = |host: &str, port| {
            metrics_address(&Metrics {
                enabled: true,
                host: host.parse().expect("an address"),
                port,
            })
        };
        let text = |host, port| address(host, port).map(|address| address.to_string()).ok();
        assert_eq!(text("0.0.0.0", 8001).as_deref(), Some("127.0.0.1:8001"));
        assert_eq!(text("::", 8001).as_deref(), Some("[::1]:8001"));
        assert_eq!(text("10.0.0.7", 8001).as_deref(), Some("10.0.0.7:8001"));
        assert_eq!(text("0.0.0.0", 0), None);
    }
}
