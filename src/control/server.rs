//! Answers on the control socket. One client at a time, and each of them for a short time only.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use log::{Level, info, warn};
use socket2::{Domain, SockAddr, Socket, Type};

use super::connection::connect;
use super::protocol::{MAX_REQUEST, Reply, Request};
use crate::observe::board::StatusBoard;
use crate::observe::log::RateLimited;
use crate::observe::status::{Pause, time_text};
use crate::runtime::{PauseSwitch, StopSignal};

/// How long a client has for its request, and for reading the reply.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// How many clients may wait.
const BACKLOG: i32 = 16;
/// After an error of the socket, the server waits this long.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The most characters of a name or a reason.
const MAX_WORDS: usize = 200;

const NOT_SERVED: &str = "a client of the control socket could not be served";

/// The socket's file. Dropping this removes it.
pub struct ControlSocket {
    path: PathBuf,
    /// Held as long as the socket is this process's. The file stays: removing it could let two processes hold a lock each.
    _lock: File,
}

/// The socket, and what is asked through it.
pub struct ControlServer {
    listener: UnixListener,
    board: Arc<StatusBoard>,
    pause: PauseSwitch,
    stop: StopSignal,
    warnings: RateLimited,
}

impl ControlServer {
    /// Listens on a socket that only this user and root may use. A socket that a worker left behind is replaced. Fails
    /// if another worker listens there, if something else is at the path, or if the file can't be made.
    pub fn bind(
        path: &Path,
        board: Arc<StatusBoard>,
        pause: PauseSwitch,
        stop: StopSignal,
    ) -> io::Result<(Self, ControlSocket)> {
        let lock = make_room(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Nobody can connect before `listen`, so that the file has its mode before anybody can use it.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        let server = Self {
            listener: UnixListener::from(std::os::fd::OwnedFd::from(socket)),
            board,
            pause,
            stop,
            warnings: RateLimited::new(Level::Warn, NOT_SERVED),
        };
        let socket = ControlSocket {
            path: path.to_owned(),
            _lock: lock,
        };
        Ok((server, socket))
    }

    /// Answers until the stop. Without a client it doesn't notice the stop, so nobody waits for its end.
    pub fn run(&self) {
        while !self.stop.is_stopping() {
            match self.listener.accept() {
                Ok((client, _)) => self.serve(client).unwrap_or_else(|error| self.warn(&error)),
                Err(error) => {
                    self.warn(&error);
                    // The cause may last, such as a lack of descriptors.
                    let _ = self.stop.wait(AFTER_ERROR);
                }
            }
        }
    }

    fn warn(&self, error: &io::Error) {
        if let Some(suppressed) = self.warnings.admit(Instant::now()) {
            warn!(suppressed; "{NOT_SERVED}: {error}");
        }
    }

    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let line = read_line(&mut client, Instant::now() + CLIENT_TIME)?;
        let reply = match serde_json::from_slice(&line) {
            Ok(request) => self.reply(request),
            Err(error) => Reply::Refused(format!("the request can't be read: {error}")),
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        client.set_write_timeout(Some(CLIENT_TIME))?;
        client.write_all(&answer)
    }

    fn reply(&self, request: Request) -> Reply {
        match request {
            Request::Status => Reply::Status(Box::new(self.board.status())),
            Request::Pause { by, reason } => {
                let pause = Pause {
                    since: time_text(Timestamp::now()),
                    by: words(&by),
                    reason: reason.as_deref().map(words),
                    is_flood: false,
                };
                info!(by = pause.by, reason = pause.reason.as_deref().unwrap_or_default();
                    "an operator orders a pause");
                Reply::Ordered {
                    before: self.pause.order(Some(pause)),
                }
            }
            Request::Resume { by } => {
                info!(by = words(&by).as_str(); "an operator orders the end of the pause");
                Reply::Ordered {
                    before: self.pause.order(None),
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // If it can't be removed, the next worker replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes the lock on the path, and removes a socket that a worker left behind there.
fn make_room(path: &Path) -> io::Result<File> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| {
            let lock_path = Path::new(&lock_path).display();
            io::Error::new(
                error.kind(),
                format!(
                    "can't open its lock {lock_path}: {error}; if another user has left it behind, remove it while no \
                     worker runs"
                ),
            )
        })?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_use(),
        TryLockError::Error(error) => error,
    })?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(lock),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "there is something else than a socket",
            ));
        }
        Ok(_) => {}
    }
    match connect(path, CLIENT_TIME) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(error),
        // Something listens there, whether it answers or not.
        Ok(_) | Err(_) => return Err(in_use()),
    }
    Ok(lock)
}

fn in_use() -> io::Error {
    io::Error::new(
        ErrorKind::AddrInUse,
        "another worker uses it: give each worker of this host a socket of its own",
    )
}

/// Reads up to the end of a line, at most until `until`.
fn read_line(client: &mut UnixStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        let read = client.read(&mut buffer)?;
        line.extend_from_slice(&buffer[..read]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line.len() > MAX_REQUEST {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the request is too long",
            ));
        }
    }
}

/// An operator's words: one line, not too long.
fn words(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_WORDS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's threads end with it")]
mod tests;
