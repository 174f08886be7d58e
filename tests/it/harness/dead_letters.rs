//! Reading the dead letter topic.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, Timestamp};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::offsets;

const BOUND: Duration = Duration::from_secs(60);

/// A record of the dead letter topic (or of any other).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The partition of the topic that it was read from.
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// All headers in their order, including repeated names.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The record's timestamp in milliseconds.
    pub timestamp: i64,
}

impl DeadLetter {
    /// The text of a header that must exist exactly once.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values = self.values(name);
        assert_eq!(values.len(), 1, "header `{name}` of {self:?}");
        std::str::from_utf8(values[0].unwrap_or_default()).unwrap()
    }

    /// The values of all headers of this name.
    pub fn values(&self, name: &str) -> Vec<Option<&[u8]>> {
        self.headers
            .iter()
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.as_deref())
            .collect()
    }

    /// The headers of the original record.
    pub fn original_headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let is_foreign = |(name, _): &&(String, _)| !name.starts_with("dlq.");
        self.headers.iter().filter(is_foreign).cloned().collect()
    }

    /// Partition and offset in the source topic.
    #[track_caller]
    pub fn source(&self) -> (i32, i64) {
        (
            self.header("dlq.partition").parse().unwrap(),
            self.header("dlq.offset").parse().unwrap(),
        )
    }

    #[track_caller]
    pub fn reason(&self) -> &str {
        self.header("dlq.reason")
    }
}

/// Reads a topic from its beginning to its current end, without a consumer group. Returns nothing if there is
/// no such topic. The topic must not end with the marker of a transaction: the reader would wait for a record at
/// its offset.
pub(super) fn read(kafka: &str, topic: &str) -> Vec<DeadLetter> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "reader-that-never-joins")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "40000000")
        .create()
        .unwrap();
    let ends = offsets::ends_of(&consumer, topic);
    let mut list = TopicPartitionList::new();
    for (&partition, bounds) in &ends {
        if bounds.earliest < bounds.end {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
    }
    let mut missing = list.count();
    consumer.assign(&list).unwrap();
    let mut letters = Vec::new();
    let started = Instant::now();
    while missing > 0 {
        assert!(
            started.elapsed() < BOUND,
            "can't read {topic} to its end within {BOUND:?}"
        );
        let Some(polled) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = polled.unwrap();
        if message.offset() + 1 == ends[&message.partition()].end {
            missing -= 1;
        }
        letters.push(DeadLetter {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message
                .headers()
                .map(|headers| {
                    headers
                        .iter()
                        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                        .collect()
                })
                .unwrap_or_default(),
            timestamp: match message.timestamp() {
                Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => millis,
                Timestamp::NotAvailable => panic!("a dead letter without a timestamp"),
            },
        });
    }
    letters
}
