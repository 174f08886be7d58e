//! Remembers clients that don't read their answers. Pure: the time is an argument.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a client is remembered. Long enough for the requests that it has already sent; short enough
/// that a later client with the same address and port isn't mistaken for it for long.
const REMEMBERED: Duration = Duration::from_secs(30);

/// The most clients remembered. If there are more, the oldest is forgotten; it can then block a handler
/// thread for one more `ANSWER_LIMIT`.
const CAPACITY: usize = 256;

/// The clients to which writing an answer failed. A client may send a thousand requests on one connection
/// and read nothing. Without this list each answer would block a thread until its time limit.
#[derive(Debug, Default)]
pub(super) struct StalledClients(VecDeque<(SocketAddr, Instant)>);

impl StalledClients {
    pub(super) fn insert(&mut self, client: SocketAddr, now: Instant) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back((client, now));
    }

    pub(super) fn contains(&mut self, client: SocketAddr, now: Instant) -> bool {
        while let Some(&(_, since)) = self.0.front()
            && now.saturating_duration_since(since) >= REMEMBERED
        {
            self.0.pop_front();
        }
        self.0.iter().any(|&(stalled, _)| stalled == client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_client_is_remembered_for_a_limited_time() {
        let mut stalled = StalledClients::default();
        let now = Instant::now();
        stalled.insert(client(1), now);
        assert!(stalled.contains(client(1), now + REMEMBERED / 2));
        assert!(!stalled.contains(client(2), now));
        assert!(!stalled.contains(client(1), now + REMEMBERED));
    }

    #[test]
    fn the_number_of_remembered_clients_is_bounded() {
        let mut stalled = StalledClients::default();
        let now = Instant::now();
        for port in 0..1000 {
            stalled.insert(client(port), now);
        }
        assert_eq!(stalled.0.len(), CAPACITY);
        assert!(stalled.contains(client(999), now));
        assert!(!stalled.contains(client(0), now));
    }
}
