//! The server: it takes requests, lets `routes` answer them, and bounds what a client can cost.
//! tiny_http has a thread for each connection that reads requests; answers are written by the threads
//! that call `run`.

use std::io::{self, Cursor, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tiny_http::{Header, Method, Request, Response, Server};

use super::routes::{Reply, Routes};
use super::stalled::Stalled;
use crate::observe::health::Health;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

/// How many threads should call [`HttpServer::run`]. A client that doesn't read holds one up for as
/// long as `ANSWER_LIMIT` (once: see `stalled`); the second answers the probes meanwhile.
pub const HANDLER_THREADS: usize = 2;

/// How long one write to a client's socket may wait.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the whole answer may take, give or take one write.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Holds the metrics of some thousand partitions, so that writing an answer doesn't wait at all for a
/// client that has read the ones before. The kernel may grant less.
const SEND_BUFFER: usize = 256 * 1024;

/// A client that vanished without a word (a node that lost power) is noticed after about three minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// How many connections may wait to be accepted. Where the queue is full, a client tries again after a
/// second, which is as long as a probe waits.
const BACKLOG: i32 = 4096;

/// How often the server calls itself up; see `call_up`.
const CALL_UP_EVERY: Duration = Duration::from_millis(500);

/// How many connections it then makes.
const CALLS: usize = 2;

/// A connection to one's own port stands at once, or the queue of the port is full.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// tiny_http reads a body of up to so many bytes before it hands the request over.
const BODY_READ_BEFOREHAND: usize = 1024;

type Handler = dyn Fn(&Method, &str) -> Reply + Send + Sync;

/// Serves the pages on one address until it is stopped. Dropping it closes the port.
pub struct HttpServer {
    address: SocketAddr,
    /// Behind a lock, because a server whose accepting thread has ended is replaced. Held for a
    /// clone of the pointer.
    server: Mutex<Arc<Server>>,
    handler: Box<Handler>,
    stopping: AtomicBool,
    /// Shared by the handler threads, so that one of them makes the call.
    next_call: Mutex<Instant>,
    /// Shared by the handler threads, which one connection's requests may reach in turn.
    stalled: Mutex<Stalled>,
    /// A client can provoke each of this server's log lines as often as it likes.
    complaints: RateLimited,
}

impl HttpServer {
    /// Listens on the first of the addresses that can be bound. Requests wait until `run` is called.
    ///
    /// # Errors
    /// If none can be bound: taken, not permitted, or not an address of this host.
    pub fn bind(
        address: impl ToSocketAddrs,
        metrics: Arc<MetricsCollector>,
        health: Arc<Health>,
    ) -> io::Result<Self> {
        let routes = Routes { metrics, health };
        Self::with_handler(
            listen(address)?,
            Box::new(move |method, url| routes.reply(method, url)),
        )
    }

    pub(super) fn with_handler(listener: TcpListener, handler: Box<Handler>) -> io::Result<Self> {
        Ok(Self {
            address: listener.local_addr()?,
            server: Mutex::new(Arc::new(serve(listener)?)),
            handler,
            stopping: AtomicBool::new(false),
            next_call: Mutex::new(Instant::now()),
            stalled: Mutex::default(),
            complaints: RateLimited::default(),
        })
    }

    /// Where it listens: the actual port, where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until [`stop`](Self::stop). To be called on [`HANDLER_THREADS`] threads.
    pub fn run(&self) {
        while !self.is_stopping() {
            let server = self.server();
            match server.recv_timeout(CALL_UP_EVERY) {
                Ok(Some(request)) => self.answer_or_survive(request),
                Ok(None) => {}
                // Left to the next call: at once, it would most likely fail again, and again.
                Err(error) => self.complain(|| format!("cannot accept connections: {error}")),
            }
            if !self.is_stopping() && self.is_call_due(Instant::now()) && !self.call_up() {
                self.listen_again(&server);
            }
        }
        // One `unblock` wakes one thread: hand it on to the next.
        self.server().unblock();
    }

    /// Makes every `run` return, once it has answered what it has in hand. May be called at any time.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.server().unblock();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn server(&self) -> Arc<Server> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&server)
    }

    fn answer_or_survive(&self, request: Request) {
        // Unwind safe: a request belongs to this call alone, and our locks hold plain values. The
        // client gets a 500 from tiny_http, which answers a request that is dropped unanswered.
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer(request)));
        if answered.is_err() {
            self.complain(|| "a handler panicked, the client got a 500".to_owned());
        }
    }

    fn answer(&self, request: Request) {
        if has_unread_body(&request) {
            let client = request.remote_addr();
            self.complain(|| format!("left a request with a body unanswered, from {client:?}"));
            // Not dropped, because that would read the rest of the body into a buffer of the size
            // that the client claims: 4 EiB abort the process, and a body that never comes blocks
            // this thread. The price is the connection's thread and descriptors, for ever. A client
            // with honest purposes has no reason to send a body here.
            std::mem::forget(request);
            return;
        }
        let client = request.remote_addr().copied();
        if let Some(client) = client
            && self.stalled().contains(client, Instant::now())
        {
            // Passes the turn to the connection's next request without writing anything.
            drop(request.into_writer());
            return;
        }
        let reply = (self.handler)(request.method(), request.url());
        if let Err(error) = request.respond(response(reply)) {
            if let Some(client) = client {
                self.stalled().insert(client, Instant::now());
            }
            self.complain(|| format!("gave up on a client that doesn't read, {client:?}: {error}"));
        }
    }

    fn stalled(&self) -> MutexGuard<'_, Stalled> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_call_due(&self, now: Instant) -> bool {
        let mut next_call = self
            .next_call
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = now >= *next_call;
        if due {
            *next_call = now + CALL_UP_EVERY;
        }
        due
    }

    /// Opens a few connections to the own port, closes them, and says whether the port is open. Two
    /// weaknesses of tiny_http make this necessary:
    ///
    /// - Connections that come at the same moment may be queued for the same idle thread. If the first
    ///   of them then says nothing, the others wait for any other connection to end. Ours end at once,
    ///   and the thread that served one takes up one that waits.
    /// - The accepting thread ends at the first error of `accept`, for instance when the process is
    ///   out of descriptors; or it panics in the same plight, and tells nobody. Then the port is
    ///   closed. Any other outcome, such as having no descriptor for the call, proves nothing.
    fn call_up(&self) -> bool {
        (0..CALLS).all(|_| {
            let call = TcpStream::connect_timeout(&self.address, CALL_TIMEOUT);
            !matches!(call, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
        })
    }

    /// Replaces a server that no longer accepts. Connections to the old one are lost: their clients
    /// get no answer and connect anew. If it fails, the next call finds the port closed still.
    fn listen_again(&self, broken: &Arc<Server>) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&server, broken) {
            return; // Another thread was faster.
        }
        match listen(self.address).and_then(serve) {
            Ok(renewed) => {
                *server = Arc::new(renewed);
                self.complain(|| "listens again, after it had stopped".to_owned());
            }
            Err(error) => self.complain(|| format!("cannot listen again: {error}")),
        }
    }

    fn complain(&self, what: impl FnOnce() -> String) {
        if let Some(suppressed) = self.complaints.admit(Instant::now()) {
            log::warn!(address:% = self.address, suppressed; "http server {}", what());
        }
    }
}

/// A listener whose connections have our limits.
pub(super) fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Each connection inherits these. No read timeout, ever: it would hold for `accept` too, which
    // would return an error, at which tiny_http's accepting thread ends.
    let socket = SockRef::from(&listener);
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    // std asks for 128. Once more on a socket that listens only sets the number.
    socket.listen(BACKLOG)?;
    Ok(listener)
}

fn serve(listener: TcpListener) -> io::Result<Server> {
    Server::from_listener(listener, None).map_err(io::Error::other)
}

/// Whether dropping the request would read from the client's socket. A chunked body is harmless:
/// nothing reads it, and what the client sends of it is taken for a request that makes no sense.
fn has_unread_body(request: &Request) -> bool {
    let expects_continue = || request.headers().iter().any(|h| h.field.equiv("Expect"));
    match request.body_length() {
        None | Some(0) => false,
        Some(length) => length > BODY_READ_BEFOREHAND || expects_continue(),
    }
}

fn response(reply: Reply) -> Response<Limited<Cursor<String>>> {
    let header = |name: &str, value: &str| {
        Header::from_bytes(name, value).expect("invariant: our header values are ASCII literals")
    };
    let mut headers = vec![
        header("Content-Type", reply.content_type),
        header("Cache-Control", "no-store"),
    ];
    headers.extend(reply.allow.map(|methods| header("Allow", methods)));
    let length = reply.body.len();
    let body = Limited {
        body: Cursor::new(reply.body),
        until: Instant::now() + ANSWER_LIMIT,
    };
    Response::new(reply.status.into(), headers, body, Some(length), None)
        // Always a `Content-Length`, whatever the size.
        .with_chunked_threshold(usize::MAX)
}

/// A body that breaks off when its time is up: a client that reads a byte a second keeps every single
/// write within its timeout.
struct Limited<R> {
    body: R,
    until: Instant,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.body.read(buffer)
    }
}
