//! Tests with real sockets, with well-behaved and hostile clients. No test measures time: each wait has
//! only a bound, after which it counts as hanging.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tiny_http::Method;

use super::HttpServer;
use super::routes::{PLAIN, Reply};
use crate::observe::board::{Fixed, StatusBoard};
use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;

const LOCAL: &str = "127.0.0.1:0";
const HANGS: Duration = Duration::from_secs(60);

fn board() -> Arc<StatusBoard> {
    let metrics = Arc::new(MetricsCollector::new(0, &["invalid_json"]));
    let health = Arc::new(Health::new(Instant::now(), HANGS));
    Arc::new(StatusBoard::new(metrics, health, Fixed::default()))
}

/// A server that runs until the test ends, also if the test panics.
struct RunningServer {
    server: Arc<HttpServer>,
    threads: Vec<JoinHandle<()>>,
}

impl RunningServer {
    fn new(server: HttpServer) -> Self {
        let server = Arc::new(server);
        let (port, answers) = (Arc::clone(&server), Arc::clone(&server));
        let threads = vec![
            std::thread::spawn(move || port.serve()),
            std::thread::spawn(move || answers.answer()),
        ];
        Self { server, threads }
    }

    fn pages() -> Self {
        Self::new(HttpServer::bind(LOCAL, board()).unwrap())
    }

    fn with_handler(handler: impl Fn(&Method, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::new(HttpServer::with_handler(LOCAL, Box::new(handler)).unwrap())
    }

    fn connect(&self) -> TcpStream {
        connect(self.server.local_addr())
    }

    fn get(&self, path: &str) -> Answer {
        exchange(
            &self.connect(),
            &format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n"),
        )
    }

    /// Checks that other clients are still served.
    #[track_caller]
    fn still_serves(&self) {
        assert_eq!(self.get("/metrics").status, 200);
    }

    fn stop(mut self) {
        self.server.stop();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.server.stop();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect_timeout(&address, HANGS).unwrap();
    client.set_read_timeout(Some(HANGS)).unwrap();
    client.set_write_timeout(Some(HANGS)).unwrap();
    client
}

fn exchange(client: &TcpStream, request: &str) -> Answer {
    let mut writer = client;
    writer.write_all(request.as_bytes()).unwrap();
    read_answer(client, request.starts_with("HEAD"))
}

/// Reads one answer, as long as its `Content-Length` says. Later bytes stay in the socket.
fn read_answer(mut client: &TcpStream, headers_only: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "Content-Length").unwrap().parse().unwrap();
    let mut body = vec![0; if headers_only { 0 } else { length }];
    client.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = String::from_utf8(body).unwrap();
    Answer { status, head, body }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Waits until the server has closed the connection.
fn is_closed(mut client: &TcpStream) -> bool {
    let mut rest = Vec::new();
    let end = client.read_to_end(&mut rest);
    rest.is_empty() && end.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true)
}

#[test]
fn pages_are_served_with_their_types() {
    let running = RunningServer::pages();
    for (path, status, content_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/status", 200, "application/json"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/health?verbose", 200, "application/json"),
        ("/ready", 503, "application/json"),
        ("/nowhere", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = running.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(header(&answer.head, "Content-Type"), Some(content_type));
        assert!(!answer.body.is_empty(), "{path}");
    }
    assert!(running.get("/metrics").body.contains("consumer_build_info"));
}

#[test]
fn head_has_the_length_and_no_body() {
    let running = RunningServer::pages();
    let client = running.connect();
    let head = exchange(&client, "HEAD /health HTTP/1.1\r\n\r\n");
    assert_eq!(head.status, 200);
    assert_ne!(header(&head.head, "Content-Length"), Some("0"));
    // The next answer follows directly, so no body was sent.
    assert_eq!(exchange(&client, "GET / HTTP/1.1\r\n\r\n").status, 200);
}

#[test]
fn other_methods_get_a_405_with_the_allowed_methods() {
    let running = RunningServer::pages();
    let client = running.connect();
    let post = "POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
    let answer = exchange(&client, post);
    assert_eq!(answer.status, 405);
    assert_eq!(header(&answer.head, "Allow"), Some("GET, HEAD"));
    // Nobody reads the body, so the connection ends.
    assert_eq!(header(&answer.head, "Connection"), Some("close"));
    assert!(is_closed(&client));
    let client = running.connect();
    let options = exchange(&client, "OPTIONS * HTTP/1.1\r\n\r\n");
    assert_eq!(options.status, 404);
    let strange = exchange(&client, "BREW /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(strange.status, 405);
}

#[test]
fn a_large_answer_has_a_content_length() {
    let running = RunningServer::with_handler(|_, _| long_reply(3_000_000));
    let answer = running.get("/metrics");
    assert_eq!(answer.body.len(), 3_000_000);
    assert_eq!(header(&answer.head, "Transfer-Encoding"), None);
}

fn long_reply(length: usize) -> Reply {
    Reply {
        status: 200,
        content_type: PLAIN,
        header: None,
        body: "x".repeat(length).into(),
    }
}

#[test]
fn unread_bodies_do_not_affect_other_clients() {
    let running = RunningServer::pages();
    let mut clients = Vec::new();
    for headers in [
        "Content-Length: 4611686018427387904\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length: 1025\r\n",
        "Content-Length: 1024\r\n",
        "Content-Length: 10\r\nExpect: 100-continue\r\n",
        "Content-Length: 4611686018427387904\r\nExpect: 100-continue\r\n",
        "Content-Length: 4611686018427387904\r\nConnection: upgrade\r\n",
        "Content-Length: 10\r\nExpect: something else\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4611686018427387904\r\n",
        "Transfer-Encoding: nonsense\r\n",
        "Connection: upgrade\r\n",
    ] {
        for rest in ["", "FFFFFFFFFFFFFFF0\r\nx", "4\r\nbody\r\n0\r\n\r\n"] {
            let mut client = running.connect();
            let request = format!("POST /metrics HTTP/1.1\r\n{headers}\r\n{rest}");
            client.write_all(request.as_bytes()).unwrap();
            clients.push(client);
        }
        running.still_serves();
    }
    // Nor do their clients when they disconnect.
    drop(clients);
    running.still_serves();
    running.stop();
}

#[test]
fn a_client_that_waits_for_100_continue_gets_the_final_answer() {
    let running = RunningServer::pages();
    let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(exchange(&running.connect(), request).status, 405);
}

#[test]
fn malformed_requests_are_answered_and_do_not_affect_other_clients() {
    let running = RunningServer::pages();
    for (garbage, status) in [
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /\u{fc} HTTP/1.1\r\n\r\n", 400),
    ] {
        let client = running.connect();
        let answer = exchange(&client, garbage);
        assert_eq!(
            answer.status / 100,
            status / 100,
            "{garbage:?}: {}",
            answer.head
        );
        assert!(is_closed(&client), "{garbage:?}");
        running.still_serves();
    }
}

#[test]
fn an_endless_head_is_refused() {
    let running = RunningServer::pages();
    let mut client = running.connect();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // The server ends the connection at some point, and before that it has answered.
    let line = format!("X: {}\r\n", "x".repeat(1000));
    for _ in 0..9 {
        if client.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(read_answer(&client, false).status, 431);
    while client.write_all(line.as_bytes()).is_ok() {}
    running.still_serves();
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let running = RunningServer::pages();
    let mut client = running.connect();
    for byte in b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.write_all(&[*byte]).unwrap();
        running.still_serves();
    }
    assert_eq!(read_answer(&client, false).status, 200);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let running = RunningServer::with_handler(|_, url| Reply {
        body: url.to_owned().into(),
        ..long_reply(0)
    });
    let mut client = running.connect();
    let requests: String = (0..100)
        .map(|number| format!("GET /{number} HTTP/1.1\r\n\r\n"))
        .collect();
    client.write_all(requests.as_bytes()).unwrap();
    for number in 0..100 {
        assert_eq!(read_answer(&client, false).body, format!("/{number}"));
    }
}

/// The server ends the oldest of them; the ones that it keeps still work.
#[test]
fn a_thousand_idle_connections_do_not_affect_other_clients() {
    let running = RunningServer::pages();
    let begun = [
        "",
        "G",
        "GET /metrics HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost",
    ];
    let clients: Vec<_> = (0..1000)
        .map(|index| {
            let mut client = running.connect();
            let begun = begun[index % begun.len()];
            client.write_all(begun.as_bytes()).unwrap();
            if index % 100 == 0 {
                running.still_serves();
            }
            client
        })
        .collect();
    running.still_serves();
    let last = clients.iter().rposition(|_| true).unwrap();
    assert_eq!(exchange(&clients[last - 1], "\r\n").status, 200);
    assert!(is_closed(&clients[0]));
    running.stop();
}

#[test]
fn clients_that_read_nothing_do_not_affect_other_clients() {
    let running = RunningServer::with_handler(|_, url| {
        long_reply(if url == "/metrics" { 10 } else { 1_000_000 })
    });
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = running.connect();
        SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
        let requests = "GET /long HTTP/1.1\r\n\r\n".repeat(200);
        client.write_all(requests.as_bytes()).unwrap();
        clients.push(client);
        running.still_serves();
    }
    running.stop();
}

#[test]
fn a_panic_in_a_handler_fails_only_its_request() {
    let running = RunningServer::with_handler(|_, url| {
        assert_ne!(url, "/panic", "as asked for");
        long_reply(10)
    });
    assert_eq!(running.get("/panic").status, 500);
    running.still_serves();
    running.stop();
}

#[test]
fn port_in_use_is_an_error() {
    let running = RunningServer::pages();
    let second = HttpServer::bind(running.server.local_addr(), board());
    let error = second.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn stop_ends_every_run_and_frees_the_port() {
    let running = RunningServer::pages();
    let address = running.server.local_addr();
    running.still_serves();
    running.stop();
    TcpListener::bind(address).unwrap();
}

#[test]
fn stop_before_run_is_not_lost() {
    let server = HttpServer::bind(LOCAL, board()).unwrap();
    server.stop();
    server.serve();
    server.answer();
}
