//! Where a running worker is asked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The path of a control socket, or host and port of the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerAddress {
    Socket(PathBuf),
    Http(String),
}

impl FromStr for WorkerAddress {
    type Err = String;

    /// A text with a slash is a path.
    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.trim_end_matches('/');
        if text.starts_with("http://") || !text.contains('/') {
            let has_port = address
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            return if has_port && !address.contains(['/', '?', '#', '@', ' ']) {
                Ok(Self::Http(address.to_owned()))
            } else {
                Err(
                    "expected host and port, such as worker-1:8001, or the path of a socket"
                        .to_owned(),
                )
            };
        }
        Ok(Self::Socket(text.into()))
    }
}

impl fmt::Display for WorkerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Http(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_socket_and_the_rest_is_an_address() {
        let http = |address: &str| Ok(WorkerAddress::Http(address.to_owned()));
        for (text, expected) in [
            ("worker-1:8001", http("worker-1:8001")),
            ("http://10.0.0.7:8001/", http("10.0.0.7:8001")),
            ("[::1]:8001", http("[::1]:8001")),
            (
                "/run/w.sock",
                Ok(WorkerAddress::Socket("/run/w.sock".into())),
            ),
            ("./w.sock", Ok(WorkerAddress::Socket("./w.sock".into()))),
        ] {
            assert_eq!(text.parse::<WorkerAddress>(), expected, "{text}");
        }
        for text in [
            "",
            "worker",
            ":8001",
            "worker:",
            "http://worker:8001/status",
            "a:8001?x",
        ] {
            assert!(text.parse::<WorkerAddress>().is_err(), "{text}");
        }
    }
}
