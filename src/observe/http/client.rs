//! One connection of a client. Nothing here waits: each call does what the socket allows at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use socket2::SockRef;

use super::request::{MAX_HEAD, Parsed, RequestHead, parse};

/// How long a connection may rest between two requests, and before the first. A scraper may come once a minute.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// How long a client may take to send a request that it has begun.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long a client may take to read its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long what a client still sends is read and dropped after the last answer. If the connection were closed at once, the
/// client's system might drop the answer.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

pub(super) struct Client {
    stream: TcpStream,
    /// What came and is no whole request yet. Never more than a head may have, plus one read.
    received: Vec<u8>,
    state: State,
    /// When this state began.
    since: Instant,
}

enum State {
    /// No byte of a request has come.
    Idle,
    /// A request has begun.
    Receiving {
        /// What has come is enough for an answer.
        is_whole: bool,
    },
    Answering {
        answer: Vec<u8>,
        written: usize,
        is_last: bool,
    },
    Draining,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Ends,
}

impl Client {
    pub(super) fn new(stream: TcpStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
            state: State::Idle,
            since: now,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> PollFlags {
        match self.state {
            State::Idle | State::Receiving { .. } | State::Draining => PollFlags::IN,
            State::Answering { .. } => PollFlags::OUT,
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The bytes of an answer that its client hasn't taken yet.
    pub(super) fn unwritten(&self) -> usize {
        match &self.state {
            State::Answering {
                answer, written, ..
            } => answer.len() - written,
            State::Idle | State::Receiving { .. } | State::Draining => 0,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let limit = match self.state {
            State::Idle => IDLE_LIMIT,
            State::Receiving { .. } => REQUEST_LIMIT,
            State::Answering { .. } => ANSWER_LIMIT,
            State::Draining => DRAIN_LIMIT,
        };
        self.since + limit
    }

    /// Goes on after the socket became ready. Answers at most one request, so that a client that sends many doesn't delay
    /// the others.
    pub(super) fn proceed(
        &mut self,
        now: Instant,
        answer: impl FnOnce(&RequestHead) -> Vec<u8>,
    ) -> Fate {
        let result = match self.state {
            State::Idle | State::Receiving { .. } => self.receive(now, answer),
            State::Answering { .. } => self.write(now),
            State::Draining => self.drain(),
        };
        match result {
            Ok(fate) => fate,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Fate::Stays,
            Err(error) if error.kind() == ErrorKind::Interrupted => Fate::Stays,
            Err(_) => Fate::Ends,
        }
    }

    /// To be called before a connection is dropped that isn't at its end: the system then forgets what its client hasn't
    /// read, which it would keep for minutes.
    pub(super) fn abandon(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether a request that has come already is to be answered.
    pub(super) fn has_request(&self) -> bool {
        matches!(self.state, State::Receiving { is_whole: true })
    }

    fn receive(
        &mut self,
        now: Instant,
        answer: impl FnOnce(&RequestHead) -> Vec<u8>,
    ) -> io::Result<Fate> {
        if !self.has_request() {
            let mut bytes = [0; MAX_HEAD];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(Fate::Ends);
            }
            self.received.extend_from_slice(&bytes[..count]);
            if matches!(self.state, State::Idle) {
                self.enter(State::Receiving { is_whole: false }, now);
            }
        }
        let (answer, is_last) = match parse(&self.received) {
            Parsed::Incomplete => return Ok(Fate::Stays),
            Parsed::Complete(head) => {
                self.received.drain(..head.length);
                (answer(&head), head.is_last)
            }
            Parsed::Refused(status) => (refusal(status), true),
        };
        let answering = State::Answering {
            answer,
            written: 0,
            is_last,
        };
        self.enter(answering, now);
        self.write(now)
    }

    fn write(&mut self, now: Instant) -> io::Result<Fate> {
        let State::Answering {
            answer,
            written,
            is_last,
        } = &mut self.state
        else {
            return Ok(Fate::Stays);
        };
        while *written < answer.len() {
            let count = self.stream.write(&answer[*written..])?;
            if count == 0 {
                return Ok(Fate::Ends);
            }
            *written += count;
        }
        if *is_last {
            self.stream.shutdown(Shutdown::Write)?;
            self.received = Vec::new();
            self.enter(State::Draining, now);
        } else if self.received.is_empty() {
            self.received = Vec::new();
            self.enter(State::Idle, now);
        } else {
            let is_whole = parse(&self.received) != Parsed::Incomplete;
            self.enter(State::Receiving { is_whole }, now);
        }
        Ok(Fate::Stays)
    }

    fn drain(&mut self) -> io::Result<Fate> {
        let mut dropped = [0; MAX_HEAD];
        let count = self.stream.read(&mut dropped)?;
        Ok(if count == 0 { Fate::Ends } else { Fate::Stays })
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
    }
}

/// The answer to what is no request.
fn refusal(status: u16) -> Vec<u8> {
    let reason = match status {
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    };
    empty_answer(status, reason, "Connection: close\r\n")
}

/// `header` is a whole line, or empty.
pub(super) fn empty_answer(status: u16, reason: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\n{header}\r\n").into_bytes()
}
