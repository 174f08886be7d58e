//! The HTTP server. It receives requests, gets the replies from `routes`, and limits the harm that a
//! client can do. tiny_http reads requests on one thread per connection; the threads that call `run`
//! write the answers.

use std::io::{self, Cursor, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use socket2::{SockRef, TcpKeepalive};
use tiny_http::{Header, Method, Request, Response, Server};

use super::routes::{Reply, Routes};
use super::stalled_clients::StalledClients;
use crate::observe::board::StatusBoard;
use crate::observe::log::RateLimited;

/// How many threads should call [`HttpServer::run`]. A client that doesn't read its answer blocks one of
/// them for up to `ANSWER_LIMIT`, and only once (see `stalled`). Meanwhile the other one answers probes.
pub const HANDLER_THREADS: usize = 2;

/// How long one write to a client's socket may wait.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long writing a whole answer may take. The last write may exceed it by `WRITE_TIMEOUT`.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Large enough for the metrics of about a thousand partitions, so that writing an answer doesn't wait
/// for a client that has read its earlier answers. The kernel may grant less.
const SEND_BUFFER: usize = 256 * 1024;

/// A client that disappeared without closing its connection (its host lost power) is noticed after about
/// three minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// How many connections may wait to be accepted. If the queue is full, a client's kernel tries again after
/// a second, which is too late for a probe with the usual timeout of one second.
const BACKLOG: i32 = 4096;

/// How often the server connects to its own port; see `check_own_port`.
const SELF_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How many connections it makes each time.
const SELF_CHECK_CONNECTIONS: usize = 2;

/// A connection to the own port succeeds at once, unless the queue of waiting connections is full.
const SELF_CHECK_TIMEOUT: Duration = Duration::from_millis(100);

/// tiny_http reads a body of up to this many bytes before it delivers the request.
const BODY_READ_BY_TINY_HTTP: usize = 1024;

type Handler = dyn Fn(&Method, &str) -> Reply + Send + Sync;

/// Serves the pages on one address until it is stopped. Dropping it closes the port.
pub struct HttpServer {
    address: SocketAddr,
    /// Behind a mutex, because a server whose accepting thread has ended is replaced. The mutex is held
    /// only to clone the pointer, and while a server is replaced.
    server: Mutex<Arc<Server>>,
    handler: Box<Handler>,
    stopping: AtomicBool,
    /// Shared by the handler threads, so that only one of them makes each check.
    next_self_check: Mutex<Instant>,
    /// Shared by the handler threads, because any of them may get the next request of a connection.
    stalled: Mutex<StalledClients>,
    /// Limits this server's log lines, because a client can cause any of them as often as it likes.
    log_limit: RateLimited,
}

impl HttpServer {
    /// Listens on the first of the addresses that can be bound. Requests wait until `run` is called. Fails
    /// if no address can be bound: the port is in use, binding isn't permitted, or the address isn't one of
    /// this host.
    pub fn bind(address: impl ToSocketAddrs, board: Arc<StatusBoard>) -> io::Result<Self> {
        let routes = Routes { board };
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
            next_self_check: Mutex::new(Instant::now()),
            stalled: Mutex::default(),
            log_limit: RateLimited::new(Level::Warn, "a warning of the HTTP server"),
        })
    }

    /// The address that the server listens on. If port 0 was requested, this has the actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until [`stop`](Self::stop). Call it on [`HANDLER_THREADS`] threads.
    pub fn run(&self) {
        while !self.is_stopping() {
            let server = self.server();
            match server.recv_timeout(SELF_CHECK_INTERVAL) {
                Ok(Some(request)) => self.answer_catching_panics(request),
                Ok(None) => {}
                // The next self-check replaces the server. Replacing it here at once would most likely
                // fail, again and again.
                Err(error) => self.warn(|| format!("can't accept connections: {error}")),
            }
            if !self.is_stopping()
                && self.is_self_check_due(Instant::now())
                && !self.check_own_port()
            {
                self.listen_again(&server);
            }
        }
        // One `unblock` wakes one thread, so each thread wakes the next one.
        self.server().unblock();
    }

    /// Makes every `run` return after its current request. May be called at any time.
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

    fn answer_catching_panics(&self, request: Request) {
        // This is unwind safe: only this call uses the request, and the mutexes hold plain values.
        // tiny_http answers a request that is dropped without an answer with a 500.
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer(request)));
        if answered.is_err() {
            self.warn(|| {
                "answered a request with status 500, because its handler panicked".to_owned()
            });
        }
    }

    fn answer(&self, request: Request) {
        if has_unread_body(&request) {
            let client = request.remote_addr();
            self.warn(|| format!("ignored a request with a body from {client:?}"));
            // The request must not be dropped: dropping it would read the rest of the body into a buffer
            // of the size that the client claims. 4 EiB would abort the process, and a body that never
            // arrives would block this thread. The price is that the connection's thread and descriptors
            // are never released. No legitimate client sends a body to this server.
            std::mem::forget(request);
            return;
        }
        let client = request.remote_addr().copied();
        if let Some(client) = client
            && self.stalled().contains(client, Instant::now())
        {
            // Lets the connection's next request proceed without writing an answer to this one.
            drop(request.into_writer());
            return;
        }
        let reply = (self.handler)(request.method(), request.url());
        if let Err(error) = request.respond(response(reply)) {
            if let Some(client) = client {
                self.stalled().insert(client, Instant::now());
            }
            self.warn(|| format!("could not write an answer to {client:?}: {error}"));
        }
    }

    fn stalled(&self) -> MutexGuard<'_, StalledClients> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_self_check_due(&self, now: Instant) -> bool {
        let mut next_self_check = self
            .next_self_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = now >= *next_self_check;
        if due {
            *next_self_check = now + SELF_CHECK_INTERVAL;
        }
        due
    }

    /// Opens a few connections to the own port and closes them. Returns whether the port is open. Two
    /// weaknesses of tiny_http make this necessary:
    ///
    /// - Connections that arrive at the same moment may be queued for the same idle thread. If the first
    ///   client then sends nothing, the others wait until any other connection ends. The connections made
    ///   here end at once, and the thread that served one then serves a waiting one.
    /// - The accepting thread ends at the first error of `accept`, for instance if the process is out of
    ///   descriptors. It may also panic then, unnoticed. In both cases the port is closed: a connection is
    ///   refused. Any other error, such as having no descriptor for this connection, proves nothing.
    fn check_own_port(&self) -> bool {
        (0..SELF_CHECK_CONNECTIONS).all(|_| {
            let connection = TcpStream::connect_timeout(&self.address, SELF_CHECK_TIMEOUT);
            !matches!(connection, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
        })
    }

    /// Replaces a server that no longer accepts connections. Connections to the old server are lost; their
    /// clients get no answer and must connect again. If this fails, the next self-check tries again.
    fn listen_again(&self, broken: &Arc<Server>) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&server, broken) {
            return; // Another thread has already replaced it.
        }
        match listen(self.address).and_then(serve) {
            Ok(renewed) => {
                *server = Arc::new(renewed);
                self.warn(|| "accepts connections again after its port was closed".to_owned());
            }
            Err(error) => self.warn(|| format!("can't open its port again: {error}")),
        }
    }

    fn warn(&self, what: impl FnOnce() -> String) {
        if let Some(suppressed) = self.log_limit.admit(Instant::now()) {
            log::warn!(address:% = self.address, suppressed; "the HTTP server {}", what());
        }
    }
}

/// A listener whose connections have the limits of this file.
pub(super) fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Every connection inherits these options. A read timeout must not be set: it would also apply to
    // `accept`, which would return an error, and tiny_http's accepting thread would end.
    let socket = SockRef::from(&listener);
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
    // std uses a backlog of 128. Calling `listen` again on a listening socket only changes the backlog.
    socket.listen(BACKLOG)?;
    Ok(listener)
}

fn serve(listener: TcpListener) -> io::Result<Server> {
    Server::from_listener(listener, None).map_err(io::Error::other)
}

/// Whether dropping the request would read from the client's socket. A chunked body is harmless: nothing
/// reads it, and tiny_http parses its bytes as the next request, which is invalid.
fn has_unread_body(request: &Request) -> bool {
    let expects_continue = || request.headers().iter().any(|h| h.field.equiv("Expect"));
    match request.body_length() {
        None | Some(0) => false,
        Some(length) => length > BODY_READ_BY_TINY_HTTP || expects_continue(),
    }
}

fn response(reply: Reply) -> Response<TimeLimited<Cursor<Vec<u8>>>> {
    let header = |name: &str, value: &str| {
        Header::from_bytes(name, value).expect("invariant: all header values are ASCII literals")
    };
    let mut headers = vec![
        header("Content-Type", reply.content_type),
        header("Cache-Control", "no-store"),
        header("X-Content-Type-Options", "nosniff"),
    ];
    headers.extend(reply.header.map(|(name, value)| header(name, value)));
    let body = reply.body.into_owned().into_bytes();
    let length = body.len();
    let body = TimeLimited {
        body: Cursor::new(body),
        until: Instant::now() + ANSWER_LIMIT,
    };
    Response::new(reply.status.into(), headers, body, Some(length), None)
        // Always send a `Content-Length`, whatever the size.
        .with_chunked_threshold(usize::MAX)
}

/// A body that fails when its time is over. The write timeout alone isn't enough: a client that reads one
/// byte per second keeps every single write within it.
struct TimeLimited<R> {
    body: R,
    until: Instant,
}

impl<R: Read> Read for TimeLimited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.body.read(buffer)
    }
}
