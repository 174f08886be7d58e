//! A small HTTP server, for tests that play another service.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::{ServerConnection, StreamOwned};

use crate::harness::Identity;

pub const OK: &str = "200 OK";

pub struct Request {
    /// The method, the path and the version.
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "one of the services has one path")
    )]
    pub line: String,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header == name)?;
        Some(value)
    }
}

/// It runs until the process of the tests ends.
pub struct HttpServer {
    pub address: String,
    given: Arc<AtomicUsize>,
}

impl HttpServer {
    /// How many requests it has answered with `200 OK`.
    pub fn given(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }
}

/// The answers are a status and a JSON text.
#[cfg(feature = "aws")]
pub fn serve(answer: impl Fn(&Request) -> (&'static str, String) + Send + 'static) -> HttpServer {
    serve_as(None, answer)
}

/// Answers over TLS with this certificate, or without TLS.
#[expect(clippy::disallowed_methods, reason = "the thread ends with the tests")]
pub fn serve_as(
    identity: Option<&Identity>,
    answer: impl Fn(&Request) -> (&'static str, String) + Send + 'static,
) -> HttpServer {
    let tls = identity.map(Identity::server_config);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = HttpServer {
        address: format!("{scheme}://{}", listener.local_addr().unwrap()),
        given: Arc::default(),
    };
    let given = Arc::clone(&server.given);
    let answer = move |stream: &mut dyn Stream| {
        // A client may give up in the middle.
        if let Some(request) = read(stream) {
            let (status, body) = answer(&request);
            given.fetch_add(usize::from(status == OK), Ordering::Relaxed);
            write(stream, status, &body);
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match &tls {
                None => answer(&mut stream),
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    let mut stream = StreamOwned::new(connection, stream);
                    answer(&mut stream);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        }
    });
    server
}

trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

fn read(stream: &mut dyn Stream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let line = lines.next()?;
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    let request = Request {
        line,
        headers: headers.collect(),
    };
    let length = request.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(request)
}

fn write(stream: &mut dyn Stream, status: &str, body: &str) {
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}
