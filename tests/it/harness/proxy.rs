//! A proxy in front of MongoDB. It counts the commands that use sessions, and it can hide that the server
//! supports sessions: some servers that speak MongoDB's protocol don't.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The field by which a server says that it supports sessions.
const SAYS_SESSIONS: &[u8] = b"logicalSessionTimeoutMinutes\0";
/// The type and name of the field by which a command names its session.
const NAMES_SESSION: &[u8] = b"\x03lsid\0";
/// The type and name of the field that makes a command wait until the server has reached a cluster time.
const WAITS_FOR_TIME: &[u8] = b"\x11afterClusterTime\0";

/// It runs until the process of the tests ends.
pub struct MongoDbProxy {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// Counts of what passed through the proxy.
#[derive(Default)]
struct Seen {
    hidden: AtomicUsize,
    sessions: AtomicUsize,
    waits: AtomicUsize,
}

impl MongoDbProxy {
    /// Starts a proxy for the server at `host:port`. With `hides_sessions`, clients see no support for sessions.
    pub fn start(server: &str, hides_sessions: bool) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&proxy.seen);
        spawn(move || {
            for client in listener.incoming() {
                // A client whose connection fails connects again.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) {
                    connect(client, server, &seen, hides_sessions)?;
                }
            }
            Ok(())
        });
        proxy
    }

    /// The URI of the proxy.
    pub fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// How often the proxy hid the support for sessions.
    pub fn hidden(&self) -> usize {
        self.seen.hidden.load(Ordering::Relaxed)
    }

    /// How many commands named a session.
    pub fn sessions(&self) -> usize {
        self.seen.sessions.load(Ordering::Relaxed)
    }

    /// How many commands had to wait for a cluster time.
    pub fn waits(&self) -> usize {
        self.seen.waits.load(Ordering::Relaxed)
    }
}

fn connect(
    client: TcpStream,
    server: TcpStream,
    seen: &Arc<Seen>,
    hides_sessions: bool,
) -> io::Result<()> {
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let (asked, answered) = (Arc::clone(seen), Arc::clone(seen));
    spawn(move || {
        relay(from_client, server, |bytes| {
            let count = |pattern| places(bytes, pattern).len();
            asked
                .sessions
                .fetch_add(count(NAMES_SESSION), Ordering::Relaxed);
            asked
                .waits
                .fetch_add(count(WAITS_FOR_TIME), Ordering::Relaxed);
        })
    });
    spawn(move || {
        relay(from_server, client, |bytes| {
            if !hides_sessions {
                return;
            }
            for place in places(bytes, SAYS_SESSIONS) {
                bytes[place] = b'x';
                answered.hidden.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    Ok(())
}

/// An error of the thread shows as a closed connection.
fn spawn(run: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let thread = thread::Builder::new().name("mongodb-proxy".to_owned());
    thread.spawn(run).unwrap();
}

/// Passes on the messages of MongoDB's wire protocol one by one; `edit` may change each of them.
fn relay(mut from: TcpStream, mut to: TcpStream, edit: impl Fn(&mut [u8])) -> io::Result<()> {
    let result = (|| {
        loop {
            let mut message = vec![0; 4];
            from.read_exact(&mut message)?;
            // The length comes first and includes itself.
            let length = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
            message.resize(usize::try_from(length).unwrap(), 0);
            from.read_exact(&mut message[4..])?;
            edit(&mut message);
            to.write_all(&message)?;
        }
    })();
    // Both fail where the other direction has closed the connection already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
    result
}

/// The positions of `pattern` in `bytes`.
fn places(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(pattern.len()).enumerate();
    windows
        .filter(|(_, window)| *window == pattern)
        .map(|(place, _)| place)
        .collect()
}
