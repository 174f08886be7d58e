//! A proxy before MongoDB that counts what commands carry, and can make it a server without sessions, as
//! some that speak its protocol are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// By this name a server says that it knows sessions.
const SAYS_SESSIONS: &[u8] = b"logicalSessionTimeoutMinutes\0";
/// By this type and name a command says which session it belongs to.
const NAMES_SESSION: &[u8] = b"\x03lsid\0";
/// By this type and name a command says how far the server must have come before.
const WAITS_FOR_TIME: &[u8] = b"\x11afterClusterTime\0";

/// Ends with the test's process.
pub struct MongoDbProxy {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// How often something was seen in what passed.
#[derive(Default)]
struct Seen {
    hidden: AtomicUsize,
    sessions: AtomicUsize,
    waits: AtomicUsize,
}

impl MongoDbProxy {
    /// Before the server at `host:port`; where `hides_sessions`, clients can't see that it knows them.
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
                // A client whose connection ends comes again.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) {
                    connect(client, server, &seen, hides_sessions)?;
                }
            }
            Ok(())
        });
        proxy
    }

    /// The URI of what it makes of the server.
    pub fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// How often it hid that the server knows sessions.
    pub fn hidden(&self) -> usize {
        self.seen.hidden.load(Ordering::Relaxed)
    }

    /// How many commands named a session.
    pub fn sessions(&self) -> usize {
        self.seen.sessions.load(Ordering::Relaxed)
    }

    /// How many commands were to wait for a time.
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

/// What goes wrong shows as a connection that ends.
fn spawn(run: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let thread = thread::Builder::new().name("mongodb-proxy".to_owned());
    thread.spawn(run).unwrap();
}

/// Passes on one message of MongoDB's wire protocol after the other, each as `edit` leaves it.
fn relay(mut from: TcpStream, mut to: TcpStream, edit: impl Fn(&mut [u8])) -> io::Result<()> {
    let result = (|| {
        loop {
            let mut message = vec![0; 4];
            from.read_exact(&mut message)?;
            // The length comes first, and counts itself.
            let length = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
            message.resize(usize::try_from(length).unwrap(), 0);
            from.read_exact(&mut message[4..])?;
            edit(&mut message);
            to.write_all(&message)?;
        }
    })();
    // The other direction ends as well, or has ended: nothing is to be done then.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
    result
}

/// Where `pattern` begins in `bytes`.
fn places(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(pattern.len()).enumerate();
    windows
        .filter(|(_, window)| *window == pattern)
        .map(|(place, _)| place)
        .collect()
}
