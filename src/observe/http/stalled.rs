//! Clients that don't read their answers. Pure: the time is an argument.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a client is remembered: long enough for the requests that it has sent already, short
/// enough that another one, later on the same port, isn't taken for it for long.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A memory that can't grow: who gets so many connections stalled at once gains seconds by the next.
const CAPACITY: usize = 256;

/// The connections on which writing an answer failed. A client may send a thousand requests and read
/// nothing; without this memory each answer would hold a thread up for the whole of its time limit.
#[derive(Debug, Default)]
pub(super) struct Stalled(VecDeque<(SocketAddr, Instant)>);

impl Stalled {
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
    fn client_is_remembered_for_a_while() {
        let mut stalled = Stalled::default();
        let now = Instant::now();
        stalled.insert(client(1), now);
        assert!(stalled.contains(client(1), now + REMEMBERED / 2));
        assert!(!stalled.contains(client(2), now));
        assert!(!stalled.contains(client(1), now + REMEMBERED));
    }

    #[test]
    fn memory_is_bounded() {
        let mut stalled = Stalled::default();
        let now = Instant::now();
        for port in 0..1000 {
            stalled.insert(client(port), now);
        }
        assert_eq!(stalled.0.len(), CAPACITY);
        assert!(stalled.contains(client(999), now));
        assert!(!stalled.contains(client(0), now));
    }
}
