//! Asks a worker over its control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::connection::connect;
use super::protocol::{Reply, Request};

/// A worker answers at once, unless its process is frozen.
pub const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub enum AskError {
    #[error(
        "no worker answers on it; it is not running, or `control.socket` of its configuration is another"
    )]
    NotRunning(#[source] io::Error),
    #[error("only the user that runs the worker, and root, may use it")]
    NotPermitted(#[source] io::Error),
    #[error("the worker does not answer")]
    NoAnswer(#[source] io::Error),
    #[error("the worker's answer can't be read: it is of another version")]
    NotUnderstood(#[source] serde_json::Error),
}

/// Sends the request to the worker that listens on this socket, and waits for the reply.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, AskError> {
    let mut stream = connect(socket, TIMEOUT).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::NotPermitted(error),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::NoAnswer(error),
        _ => AskError::NotRunning(error),
    })?;
    let answer = exchange(&mut stream, request).map_err(AskError::NoAnswer)?;
    serde_json::from_str(&answer).map_err(AskError::NotUnderstood)
}

fn exchange(stream: &mut UnixStream, request: &Request) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}
