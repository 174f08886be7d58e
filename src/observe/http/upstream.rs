//! The tiny_http server behind the port. It has one client for as long as it lives: the port's thread, which sends it
//! whole, short requests without headers or bodies, one after the other. tiny_http by itself limits neither its
//! connections, which have a thread each, nor the length of a header, nor how long a client may take.

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tiny_http::{Header, Method, Request, Response, Server};

use super::request::RequestHead;
use super::routes::Reply;

pub(super) type Handler = dyn Fn(&Method, &str) -> Reply + Send + Sync;

/// The handler reads what is in memory. If an answer takes longer than this, its thread hangs or has ended.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How often the answering thread looks whether the server is another one, or was stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The library's lines are about its listener, which is closed on purpose.
pub fn is_log_noise(record: &log::Record<'_>) -> bool {
    record.target().starts_with("tiny_http")
}

pub(super) struct Upstream {
    handler: Box<Handler>,
    /// The mutex is held only to clone the pointer or to replace it. The last pointer is never dropped: the server's
    /// `drop` would connect to an address that may be another program's by then. Its threads end with its connection.
    server: Mutex<ManuallyDrop<Arc<Server>>>,
}

impl Upstream {
    pub(super) fn start(handler: Box<Handler>) -> io::Result<(Self, Connection)> {
        let (server, connection) = start()?;
        let upstream = Self {
            handler,
            server: Mutex::new(server),
        };
        Ok((upstream, connection))
    }

    /// Starts anew, after the connection has failed.
    pub(super) fn renew(&self) -> io::Result<Connection> {
        let (server, connection) = start()?;
        let mut current = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, server);
        old.unblock();
        Ok(connection)
    }

    fn server(&self) -> Arc<Server> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&server)
    }

    /// Answers one request, or waits a short time for one.
    pub(super) fn answer_next(&self) {
        // An error says that the listener is closed.
        if let Ok(Some(request)) = self.server().recv_timeout(LOOK_INTERVAL) {
            // This is unwind safe: only this call uses the request. tiny_http answers a request that is dropped
            // without an answer with a 500.
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(request)));
            if answered.is_err() {
                log::warn!(
                    "the HTTP server answered a request with status 500, because its handler panicked"
                );
            }
        }
    }

    /// Wakes the thread in `answer_next`.
    pub(super) fn unblock(&self) {
        self.server().unblock();
    }

    fn answer(&self, request: Request) {
        let reply = (self.handler)(request.method(), request.url());
        // If it fails, the port's thread sees that as well.
        let _ = request.respond(response(reply));
    }
}

/// Starts a server and connects to it.
fn start() -> io::Result<(ManuallyDrop<Arc<Server>>, Connection)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // tiny_http writes the head and the body one after the other, from a connection that inherits this. Without it, each
    // body would wait for the acknowledgement of its head.
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    let connection = Connection {
        stream: BufReader::new(stream),
        listener: Some(listener.try_clone()?),
    };
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    Ok((ManuallyDrop::new(Arc::new(server)), connection))
}

/// The connection to tiny_http.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    /// The server's listener, until it has accepted this connection. Then it is closed, so that nobody else connects.
    listener: Option<TcpListener>,
}

impl Connection {
    /// Waits until the connection is accepted, which needs the answering thread.
    pub(super) fn establish(&mut self) -> io::Result<()> {
        self.exchange("HEAD", "/").map(drop)
    }

    /// The answer to a request, as it goes to the client.
    pub(super) fn answer(&mut self, head: &RequestHead) -> io::Result<Vec<u8>> {
        let mut answer = self.exchange(&head.method, &head.target)?;
        if head.is_last {
            let end_of_status = answer.iter().position(|&byte| byte == b'\n').unwrap_or(0) + 1;
            answer.splice(end_of_status..end_of_status, *b"Connection: close\r\n");
        }
        Ok(answer)
    }

    fn exchange(&mut self, method: &str, target: &str) -> io::Result<Vec<u8>> {
        let request = format!("{method} {target} HTTP/1.1\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut length = 0;
        loop {
            let begin = answer.len();
            if self.stream.read_until(b'\n', &mut answer)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = answer[begin..].trim_ascii();
            if line.is_empty() {
                break;
            }
            if let Some(value) = content_length(line) {
                length = value;
            }
        }
        if method != "HEAD" {
            let read = (&mut self.stream).take(length).read_to_end(&mut answer)?;
            if u64::try_from(read) != Ok(length) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if let Some(listener) = self.listener.take() {
            SockRef::from(&listener).shutdown(Shutdown::Both)?;
        }
        Ok(answer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // tiny_http has a copy of the listener, which would accept strangers for ever.
        if let Some(listener) = self.listener.take() {
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }
}

fn content_length(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("Content-Length")
        .then(|| value.trim().parse().ok())?
}

fn response(reply: Reply) -> Response<Cursor<Vec<u8>>> {
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
    Response::new(
        reply.status.into(),
        headers,
        Cursor::new(body),
        Some(length),
        None,
    )
    // Always send a `Content-Length`, whatever the size.
    .with_chunked_threshold(usize::MAX)
}
