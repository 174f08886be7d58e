//! Requests to Kafka that its client library can't make: <https://kafka.apache.org/protocol>. All of them are of versions
//! whose texts and lists have plain lengths.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::waiting::SHORT;

const OFFSET_COMMIT: i16 = 8;
const CREATE_ACLS: i16 = 30;
const ALTER_CLIENT_QUOTAS: i16 = 49;

/// The answer to each request, from its error code on.
const NO_ERROR: [u8; 2] = [0, 0];

/// From now on, the broker at `kafka` takes so many bytes in a second from producers with this client id, on average
/// over about ten seconds. Answers to what is beyond that are sent at once, and the next request waits.
pub fn limit_producer(kafka: &str, client_id: &str, bytes_per_second: u32) {
    let answer = Request::new(ALTER_CLIENT_QUOTAS, 0)
        // One entry, whose entity has one part.
        .number(1_i32.to_be_bytes())
        .number(1_i32.to_be_bytes())
        .text("client-id")
        .text(client_id)
        // One quota; it is set, and not removed. The request is meant, and no trial.
        .number(1_i32.to_be_bytes())
        .text("producer_byte_rate")
        .number(f64::from(bytes_per_second).to_be_bytes())
        .number([0, 0])
        .send(kafka);
    // The throttle time, the number of entries and the first entry's error.
    assert_eq!(answer[8..10], NO_ERROR, "Kafka refuses the quota");
}

/// Commits an offset of partition 0 with a text of any bytes.
pub fn commit_with_bytes(kafka: &str, group: &str, topic: &str, offset: i64, text: &[u8]) {
    let answer = Request::new(OFFSET_COMMIT, 0)
        .text(group)
        .number(1_i32.to_be_bytes())
        .text(topic)
        .number(1_i32.to_be_bytes())
        .number(0_i32.to_be_bytes())
        .number(offset.to_be_bytes())
        .text(text)
        .send(kafka);
    assert!(answer.ends_with(&NO_ERROR), "Kafka refuses the commit");
}

/// From now on, clients may look at a topic and read it, and nothing else. A topic without a rule is open to all.
pub fn forbid_writing(kafka: &str, topic: &str) {
    for right in [Right::Read, Right::Describe] {
        allow(kafka, "User:ANONYMOUS", right, Resource::Topic(topic));
    }
}

/// Gives a right to a client.
pub fn allow(kafka: &str, principal: &str, right: Right, resource: Resource<'_>) {
    const LITERAL: i8 = 3;
    const ALLOW: i8 = 3;
    let (kind, name): (i8, &str) = match resource {
        Resource::Topic(name) => (2, name),
        Resource::Group(name) => (3, name),
    };
    let operation: i8 = match right {
        Right::Read => 3,
        Right::Write => 4,
        Right::Describe => 8,
        Right::DescribeConfigs => 10,
    };
    let answer = Request::new(CREATE_ACLS, 1)
        .number(1_i32.to_be_bytes())
        .number(kind.to_be_bytes())
        .text(name)
        .number(LITERAL.to_be_bytes())
        .text(principal)
        .text("*")
        .number(operation.to_be_bytes())
        .number(ALLOW.to_be_bytes())
        .send(kafka);
    // The throttle time, the number of entries and the first entry's error.
    assert_eq!(answer[8..10], NO_ERROR, "Kafka refuses the rule");
}

#[derive(Debug, Clone, Copy)]
pub enum Right {
    Read,
    Write,
    Describe,
    DescribeConfigs,
}

#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
}

struct Request(Vec<u8>);

impl Request {
    const CORRELATION_ID: [u8; 4] = 7_i32.to_be_bytes();

    fn new(key: i16, version: i16) -> Self {
        Self(Vec::new())
            .number(key.to_be_bytes())
            .number(version.to_be_bytes())
            .number(Self::CORRELATION_ID)
            .text("test")
    }

    fn number<const N: usize>(mut self, bytes: [u8; N]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        let bytes = text.as_ref();
        self.0
            .extend(i16::try_from(bytes.len()).unwrap().to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// The answer without its length and its correlation id.
    fn send(self, kafka: &str) -> Vec<u8> {
        let mut connection = TcpStream::connect(kafka).unwrap();
        connection.set_read_timeout(Some(SHORT)).unwrap();
        let length = u32::try_from(self.0.len()).unwrap();
        connection.write_all(&length.to_be_bytes()).unwrap();
        connection.write_all(&self.0).unwrap();
        let mut length = [0; 4];
        connection.read_exact(&mut length).unwrap();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        let mut answer = vec![0; length];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], Self::CORRELATION_ID);
        answer.split_off(4)
    }
}
