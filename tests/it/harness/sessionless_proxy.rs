//! A proxy before MongoDB that makes it a server without sessions, as some that speak its protocol are.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// By this name a server says that it knows sessions.
const SAYS_SESSIONS: &[u8] = b"logicalSessionTimeoutMinutes\0";
/// By this type and name a command says which it belongs to.
const NAMES_SESSION: &[u8] = b"\x03lsid\0";

/// Ends with the test's process.
pub struct SessionlessProxy {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hidden: AtomicUsize,
    named: AtomicUsize,
}

impl SessionlessProxy {
    /// Before the server of this URI.
    pub fn start(uri: &str) -> Self {
        let (_, rest) = uri.split_once("://").unwrap();
        let server = rest.split(['/', '?']).next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            counts: Arc::default(),
        };
        let counts = Arc::clone(&proxy.counts);
        spawn(move || {
            for client in listener.incoming() {
                let client = client?;
                connect(client, TcpStream::connect(&server)?, &counts)?;
            }
            Ok(())
        });
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it hid that the server knows sessions.
    pub fn hidden(&self) -> usize {
        self.counts.hidden.load(Ordering::Relaxed)
    }

    /// How often a client named a session all the same.
    pub fn named(&self) -> usize {
        self.counts.named.load(Ordering::Relaxed)
    }
}

fn connect(client: TcpStream, server: TcpStream, counts: &Arc<Counts>) -> io::Result<()> {
    let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
    let (asked, answered) = (Arc::clone(counts), Arc::clone(counts));
    spawn(move || {
        relay(from_client, server, |bytes| {
            let count = places(bytes, NAMES_SESSION).len();
            asked.named.fetch_add(count, Ordering::Relaxed);
        })
    });
    spawn(move || {
        relay(from_server, client, |bytes| {
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
    let thread = thread::Builder::new().name("sessionless-proxy".to_owned());
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
    // The other direction ends as well.
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
