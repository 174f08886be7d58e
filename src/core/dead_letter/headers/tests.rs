use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::core::partition::{Epoch, RecordId};
use crate::core::record::{Batch, OriginalRecord};
use crate::core::rejection::Reason;

fn identity() -> ConsumerIdentity {
    ConsumerIdentity {
        topic: "data-topic".to_owned(),
        consumer_group: "group".to_owned(),
        instance: "host-1".to_owned(),
    }
}

fn read(headers: &[Header]) -> DeadLetterHeaders<'_> {
    DeadLetterHeaders::read(
        headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes()))),
    )
}

#[test]
fn headers_name_the_source_and_the_reason() {
    let mut batch = Batch::new(Instant::now());
    let id = RecordId {
        partition: TopicPartition::consumed(3),
        epoch: Epoch(1),
        offset: Offset(42),
    };
    batch.push(
        id,
        Timestamp::CreateTime(1_700_000_000_123),
        None,
        Some(b"x"),
        None,
    );
    let rejection = Rejection {
        code: Some(121),
        ..Rejection::new(Reason::WriteRejected, "refused")
    };
    let identity = identity();
    let record = &batch.records()[0];
    let headers =
        DeadLetterHeaders::of_rejection(&identity, record, &rejection, 2, SystemTime::UNIX_EPOCH)
            .write();
    let expected = [
        ("dlq.reason", "write_rejected"),
        ("dlq.error", "refused"),
        ("dlq.error_code", "121"),
        ("dlq.topic", "data-topic"),
        ("dlq.partition", "3"),
        ("dlq.offset", "42"),
        ("dlq.timestamp", "1700000000123"),
        ("dlq.timestamp_type", "create_time"),
        ("dlq.failed_at", "1970-01-01T00:00:00.000Z"),
        ("dlq.attempts", "2"),
        ("dlq.consumer_group", "group"),
        ("dlq.instance", "host-1"),
        ("dlq.replay_count", "0"),
    ];
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(headers, expected);
}

#[test]
fn a_replayed_record_keeps_its_first_source_and_counts_the_replay() {
    let mut batch = Batch::new(Instant::now());
    let id = RecordId {
        partition: TopicPartition::consumed(0),
        epoch: Epoch(1),
        offset: Offset(7),
    };
    let replay = OriginalRecord {
        partition: TopicPartition::consumed(3),
        offset: Offset(42),
        timestamp: Timestamp::LogAppendTime(5),
        replay_count: 1,
    };
    batch.push_replay(id, replay, None, None, None);
    let rejection = Rejection::new(Reason::IdConflict, "conflict");
    let identity = identity();
    let record = &batch.records()[0];
    let headers =
        DeadLetterHeaders::of_rejection(&identity, record, &rejection, 1, SystemTime::UNIX_EPOCH);
    assert_eq!(
        headers.source_in("data-topic"),
        Some((TopicPartition::consumed(3), Offset(42)))
    );
    assert_eq!(headers.timestamp, Timestamp::LogAppendTime(5));
    assert_eq!(headers.replay_count, 2);
}

/// The values of all headers, with owned texts.
#[derive(Debug)]
struct Values {
    reason: Reason,
    error: String,
    topic: String,
    consumer_group: String,
    instance: String,
    error_code: Option<i32>,
    place: (i32, i64),
    timestamp: Timestamp,
    failed_at_millis: i64,
    attempts: u32,
    replay_count: u32,
    value_omitted: bool,
    value_size: Option<u64>,
}

impl Values {
    fn headers(&self) -> DeadLetterHeaders<'_> {
        DeadLetterHeaders {
            reason: Some(self.reason.as_str()),
            error: Some(&self.error),
            error_code: self.error_code,
            topic: Some(&self.topic),
            partition: Some(TopicPartition::consumed(self.place.0)),
            offset: Some(Offset(self.place.1)),
            timestamp: self.timestamp,
            failed_at: jiff::Timestamp::from_millisecond(self.failed_at_millis).ok(),
            attempts: Some(self.attempts),
            consumer_group: Some(&self.consumer_group),
            instance: Some(&self.instance),
            replay_count: self.replay_count,
            value_omitted: self.value_omitted,
            value_size: self.value_size,
        }
    }
}

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::NotAvailable),
        any::<i64>().prop_map(Timestamp::CreateTime),
        any::<i64>().prop_map(Timestamp::LogAppendTime),
    ]
}

prop_compose! {
    fn any_values()(
        reason in prop::sample::select(&Reason::ALL[..]),
        (error, topic, consumer_group, instance) in any::<(String, String, String, String)>(),
        error_code in any::<Option<i32>>(),
        place in any::<(i32, i64)>(),
        timestamp in any_timestamp(),
        failed_at_millis in 0_i64..253_000_000_000_000,
        (attempts, replay_count) in any::<(u32, u32)>(),
        value_omitted in any::<bool>(),
        value_size in any::<Option<u64>>(),
    ) -> Values {
        Values {
            reason, error, topic, consumer_group, instance, error_code, place, timestamp,
            failed_at_millis, attempts, replay_count, value_omitted, value_size,
        }
    }
}

proptest! {
    #[test]
    fn written_headers_are_read_back(values in any_values()) {
        let headers = values.headers();
        let written = headers.write();
        prop_assert_eq!(read(&written), headers);
    }

    #[test]
    fn the_headers_of_the_last_failure_count(earlier in any_values(), last in any_values()) {
        let mut written = earlier.headers().write();
        written.extend(last.headers().write());
        prop_assert_eq!(read(&written), last.headers());
    }

    #[test]
    fn every_written_header_is_recognized(values in any_values()) {
        for (name, _) in values.headers().write() {
            prop_assert!(is_dead_letter_header(name), "{}", name);
        }
    }
}

#[test]
fn a_record_without_headers_has_none() {
    assert_eq!(read(&[]), DeadLetterHeaders::NONE);
    assert_eq!(DeadLetterHeaders::NONE.source_in("data-topic"), None);
}

#[test]
fn headers_that_the_worker_never_writes_are_ignored() {
    for (name, value) in [
        ("trace", Some(&b"1"[..])),
        ("dlq.unheard_of", Some(b"1")),
        ("dlq.partition", Some(b"one")),
        ("dlq.offset", Some(b"\xff")),
        ("dlq.offset", None),
        ("dlq.failed_at", Some(b"yesterday")),
        ("dlq.timestamp", Some(b"1")),
        ("dlq.replay_count", Some(b"-1")),
    ] {
        let read = DeadLetterHeaders::read([(name, value)].into_iter());
        assert_eq!(read, DeadLetterHeaders::NONE, "{name}");
    }
}
