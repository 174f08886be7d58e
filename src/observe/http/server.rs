//! The port. One thread accepts the connections and serves all of them without waiting for any one; tiny_http, behind
//! it, answers. Connections, the bytes of each, and its time are limited, so that no client can take more than a
//! little memory or keep others from being answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;

use super::client::{Client, Fate, empty_answer};
use super::request::RequestHead;
use super::routes::Routes;
use super::upstream::{Connection, Handler, Upstream};
use crate::observe::board::StatusBoard;
use crate::observe::log::RateLimited;

/// The most connections at once. One more ends the connection that has waited longest.
const MAX_CLIENTS: usize = 256;
/// There are fewer where the process may open few files: so many are for everything else.
const OTHER_FILES: u64 = 112;
const MIN_CLIENTS: usize = 16;

/// The most bytes of answers that wait for their clients to read them. Beyond it the connection that has waited longest
/// ends.
const MAX_UNREAD: usize = 8 << 20;

/// Large enough for the metrics of about a thousand partitions, so that an answer is written at once. The kernel
/// may grant less.
const SEND_BUFFER: usize = 256 * 1024;

/// How many connections may wait to be accepted. If the queue is full, a client's kernel tries again after
/// a second, which is too late for a probe with the usual timeout of one second.
const BACKLOG: i32 = 4096;

/// How many connections are accepted before those that there are get their turn.
const ACCEPTED_AT_ONCE: usize = 64;

/// After an error of `accept`, such as a lack of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// The longest wait for an event.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Serves the pages on one address until it is stopped. Dropping it closes the port.
pub struct HttpServer {
    address: SocketAddr,
    listener: TcpListener,
    upstream: Upstream,
    /// The connection to it, until the port's thread takes it.
    connection: Mutex<Option<Connection>>,
    stopping: AtomicBool,
    /// The port's thread has ended, so that nothing is to be answered any more.
    is_served: AtomicBool,
    /// A byte in it ends the wait of the port's thread.
    wake_up: (UnixStream, UnixStream),
    max_clients: usize,
    /// Limits this server's log lines, because a client can cause any of them as often as it likes.
    log_limit: RateLimited,
}

impl HttpServer {
    /// Listens on the first of the addresses that can be bound. Requests wait until the two threads run. Fails
    /// if no address can be bound: the port is in use, binding isn't permitted, or the address isn't one of
    /// this host. `open_files` is how many files the process may open, if that is limited.
    pub fn bind(
        address: impl ToSocketAddrs,
        open_files: Option<u64>,
        board: Arc<StatusBoard>,
    ) -> io::Result<Self> {
        let routes = Routes { board };
        Self::with_handler(
            address,
            open_files,
            Box::new(move |method, url| routes.reply(method, url)),
        )
    }

    pub(super) fn with_handler(
        address: impl ToSocketAddrs,
        open_files: Option<u64>,
        handler: Box<Handler>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        // std uses a backlog of 128. Calling `listen` again on a listening socket only changes the backlog. Every
        // connection inherits the buffer.
        let socket = SockRef::from(&listener);
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        let (upstream, connection) = Upstream::start(handler)?;
        let wake_up = UnixStream::pair()?;
        wake_up.0.set_nonblocking(true)?;
        wake_up.1.set_nonblocking(true)?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            upstream,
            connection: Mutex::new(Some(connection)),
            stopping: AtomicBool::new(false),
            is_served: AtomicBool::new(false),
            wake_up,
            max_clients: max_clients(open_files),
            log_limit: RateLimited::new(Level::Warn, "a warning of the HTTP server"),
        })
    }

    /// The address that the server listens on. If port 0 was requested, this has the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Makes both threads return. May be called at any time.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // If it fails, there is a byte already.
        let _ = (&self.wake_up.0).write(&[0]);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The answering thread: runs until [`serve`](Self::serve) has ended.
    pub fn answer(&self) {
        while !self.is_served.load(Ordering::Acquire) {
            self.upstream.answer_next();
        }
    }

    /// The port's thread: runs until [`stop`](Self::stop).
    pub fn serve(&self) {
        let _end = EndOfServing(self);
        if self.is_stopping() {
            return;
        }
        let taken = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut clients = Clients {
            clients: Vec::new(),
            // Where it fails, the first request gets a new one.
            connection: taken.and_then(|mut connection| {
                connection.establish().ok()?;
                Some(connection)
            }),
        };
        let mut accept_from = Instant::now();
        while !self.is_stopping() {
            let now = Instant::now();
            let accepts = now >= accept_from;
            let events = match self.wait(&clients, accepts, now) {
                Ok(events) => events,
                Err(error) => {
                    self.warn(|| format!("can't wait for its clients: {error}"));
                    // This only sleeps.
                    let _ = after(ACCEPT_AGAIN).recv();
                    continue;
                }
            };
            if self.is_stopping() {
                break;
            }
            let now = Instant::now();
            clients.proceed(self, &events.clients, now);
            if events.has_connection
                && let Err(error) = self.accept(&mut clients, now)
            {
                accept_from = now + ACCEPT_AGAIN;
                if is_lack_of_room(&error) {
                    // The connection that has waited longest makes room for one.
                    clients.end_oldest(|_| true);
                }
                self.warn(|| format!("can't accept a connection: {error}"));
            }
        }
    }

    fn wait(&self, clients: &Clients, accepts: bool, now: Instant) -> io::Result<Events> {
        let timeout = clients
            .timeout(now)
            .min(if accepts { LOOK_INTERVAL } else { ACCEPT_AGAIN });
        let listens = if accepts {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut files = vec![
            PollFd::new(&self.wake_up.1, PollFlags::IN),
            PollFd::new(&self.listener, listens),
        ];
        files.extend(
            clients
                .clients
                .iter()
                .map(|client| PollFd::new(client.stream(), client.interest())),
        );
        let timeout = Timespec::try_from(timeout).unwrap_or_default();
        match poll(&mut files, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |file: &PollFd<'_>| !file.revents().is_empty();
        if is_ready(&files[0]) {
            let _ = (&self.wake_up.1).read(&mut [0; 8]);
        }
        Ok(Events {
            has_connection: is_ready(&files[1]),
            clients: files[2..].iter().map(is_ready).collect(),
        })
    }

    fn accept(&self, clients: &mut Clients, now: Instant) -> io::Result<()> {
        // A new client is read before it can be the one that has waited longest.
        for _ in 0..ACCEPTED_AT_ONCE.min(self.max_clients / 4) {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if clients.clients.len() >= self.max_clients {
                        clients.end_oldest(|_| true);
                        self.warn(|| {
                            let limit = self.max_clients;
                            format!("has {limit} connections: it ended the one that waited longest for a new one")
                        });
                    }
                    // If it fails, the connection has ended already.
                    clients.clients.extend(Client::new(stream, now));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The client has gone again.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn warn(&self, what: impl FnOnce() -> String) {
        if let Some(suppressed) = self.log_limit.admit(Instant::now()) {
            log::warn!(address:% = self.address, suppressed; "the HTTP server {}", what());
        }
    }
}

/// Ends the answering thread, also after a panic of the port's.
struct EndOfServing<'a>(&'a HttpServer);

impl Drop for EndOfServing<'_> {
    fn drop(&mut self) {
        self.0.is_served.store(true, Ordering::Release);
        self.0.upstream.unblock();
    }
}

/// What a wait brought.
struct Events {
    has_connection: bool,
    /// For each client, whether its socket is ready.
    clients: Vec<bool>,
}

/// The connections, and the one to tiny_http, which they share.
struct Clients {
    clients: Vec<Client>,
    connection: Option<Connection>,
}

impl Clients {
    /// How long nothing is to be done, unless something comes.
    fn timeout(&self, now: Instant) -> Duration {
        if self.clients.iter().any(Client::has_request) {
            return Duration::ZERO;
        }
        let deadline = self.clients.iter().map(Client::deadline).min();
        deadline.map_or(LOOK_INTERVAL, |deadline| {
            deadline.saturating_duration_since(now)
        })
    }

    fn proceed(&mut self, server: &HttpServer, is_ready: &[bool], now: Instant) {
        let Self {
            clients,
            connection,
        } = self;
        let mut is_ready = is_ready.iter().copied();
        clients.retain_mut(|client| {
            let fate = if is_ready.next() == Some(true) || client.has_request() {
                client.proceed(now, |head| answer(server, connection, head))
            } else {
                Fate::Stays
            };
            let is_overdue = now >= client.deadline();
            if fate == Fate::Stays && is_overdue {
                client.abandon();
            }
            fate == Fate::Stays && !is_overdue
        });
        loop {
            let unwritten = self.clients.iter().map(Client::unwritten);
            let waiting = unwritten.filter(|&bytes| bytes > 0);
            let (count, bytes) = waiting.fold((0, 0), |(n, sum), bytes| (n + 1, sum + bytes));
            // A single answer may be larger.
            if count < 2 || bytes <= MAX_UNREAD {
                break;
            }
            self.end_oldest(|client| client.unwritten() > 0);
        }
    }

    /// Ends the connection that has been in its state for longest, of those that are meant.
    fn end_oldest(&mut self, is_meant: impl Fn(&Client) -> bool) {
        let oldest = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| is_meant(client))
            .min_by_key(|(_, client)| client.since())
            .map(|(index, _)| index);
        if let Some(index) = oldest {
            self.clients.swap_remove(index).abandon();
        }
    }
}

fn answer(server: &HttpServer, connection: &mut Option<Connection>, head: &RequestHead) -> Vec<u8> {
    let answered = match connection {
        Some(connection) => connection.answer(head),
        None => server
            .upstream
            .renew()
            .and_then(|new| connection.insert(new).answer(head)),
    };
    answered.unwrap_or_else(|error| {
        // The next request gets a new connection.
        *connection = None;
        server.warn(|| format!("could not answer a request: {error}"));
        empty_answer(503, "Service Unavailable", "")
    })
}

/// Whether `accept` failed because this process, or its system, has no room for one more connection.
fn is_lack_of_room(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn max_clients(open_files: Option<u64>) -> usize {
    let Some(limit) = open_files else {
        return MAX_CLIENTS;
    };
    let possible = usize::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(MAX_CLIENTS);
    possible.clamp(MIN_CLIENTS, MAX_CLIENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_clients_are_served_where_few_files_may_be_open() {
        assert_eq!(max_clients(None), MAX_CLIENTS);
        assert_eq!(max_clients(Some(1024)), MAX_CLIENTS);
        assert_eq!(max_clients(Some(256)), 144);
        assert_eq!(max_clients(Some(128)), MIN_CLIENTS);
        assert_eq!(max_clients(Some(20)), MIN_CLIENTS);
    }
}
