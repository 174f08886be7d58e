use proptest::prelude::*;

use super::*;
use crate::core::partition::{Epoch, Offset, Partition};
use crate::core::record::{Batch, Replay};

#[test]
fn headers_name_the_source_and_the_reason() {
    let mut batch = Batch::new(Instant::now());
    let id = RecordId {
        partition: Partition(3),
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
    let origin = Origin {
        topic: "data-topic".to_owned(),
        consumer_group: "group".to_owned(),
        instance: "host-1".to_owned(),
    };
    let rejection = Rejection {
        code: Some(121),
        ..Rejection::new(Reason::WriteRejected, "refused")
    };
    let headers = origin.headers(&batch.records()[0], &rejection, 2, SystemTime::UNIX_EPOCH);
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

fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::NotAvailable),
        any::<i64>().prop_map(Timestamp::CreateTime),
        any::<i64>().prop_map(Timestamp::LogAppendTime),
    ]
}

fn any_rejection() -> impl Strategy<Value = Rejection> {
    (0..Reason::ALL.len(), any::<String>(), any::<Option<i32>>()).prop_map(
        |(reason, error, code)| Rejection {
            code,
            ..Rejection::new(Reason::ALL[reason], error)
        },
    )
}

fn any_replay() -> impl Strategy<Value = Replay> {
    (any::<i32>(), any::<i64>(), any_timestamp(), any::<u32>()).prop_map(
        |(partition, offset, timestamp, replay_count)| Replay {
            partition: Partition(partition),
            offset: Offset(offset),
            timestamp,
            replay_count,
        },
    )
}

fn read(headers: &[Header]) -> Provenance<'_> {
    Provenance::of(
        headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes()))),
    )
}

proptest! {
    #[test]
    fn what_headers_say_is_read_back(
        (partition, offset, timestamp) in (any::<i32>(), any::<i64>(), any_timestamp()),
        replay in prop::option::of(any_replay()),
        rejection in any_rejection(),
        attempts in any::<u32>(),
        failed_at_millis in 0_u64..253_000_000_000_000,
        (topic, consumer_group, instance) in any::<(String, String, String)>(),
        earlier in prop::option::of(any_rejection()),
    ) {
        let id = RecordId { partition: Partition(partition), epoch: Epoch(0), offset: Offset(offset) };
        let mut batch = Batch::new(Instant::now());
        match replay {
            None => batch.push(id, timestamp, None, None, None),
            Some(replay) => batch.push_replay(id, replay, None, None, None),
        }
        let origin = Origin { topic, consumer_group, instance };
        let failed_at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(failed_at_millis);
        let record = &batch.records()[0];
        // Where they could not be taken out, those of an earlier failure come first.
        let mut headers = earlier.map_or_else(Vec::new, |earlier| {
            origin.headers(record, &earlier, 9, SystemTime::UNIX_EPOCH)
        });
        headers.extend(origin.headers(record, &rejection, attempts, failed_at));

        let expected = Provenance {
            reason: Some(rejection.reason.as_str()),
            error: Some(&rejection.error),
            error_code: rejection.code,
            topic: Some(&origin.topic),
            partition: Some(replay.map_or(Partition(partition), |replay| replay.partition)),
            offset: Some(replay.map_or(Offset(offset), |replay| replay.offset)),
            timestamp: replay.map_or(timestamp, |replay| replay.timestamp),
            failed_at: Some(jiff::Timestamp::try_from(failed_at).unwrap()),
            attempts: Some(attempts),
            consumer_group: Some(&origin.consumer_group),
            instance: Some(&origin.instance),
            replay_count: replay.map_or(0, |replay| replay.replay_count.saturating_add(1)),
            value_omitted: false,
            value_size: None,
        };
        prop_assert_eq!(read(&headers), expected);
    }
}

#[test]
fn foreign_headers_say_nothing() {
    let of = |name: &'static str, value: Option<&'static [u8]>| {
        Provenance::of([(name, value)].into_iter())
    };
    let nothing = Provenance::of(std::iter::empty());
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
        assert_eq!(of(name, value), nothing, "{name}");
    }
    assert_eq!(nothing.source_in("data-topic"), None);
}

#[test]
fn a_value_that_was_left_out_is_told_of() {
    let headers = [
        (VALUE_OMITTED, Some(&b"true"[..])),
        (VALUE_SIZE, Some(&b"17"[..])),
    ];
    let provenance = Provenance::of(headers.into_iter());
    assert!(provenance.value_omitted);
    assert_eq!(provenance.value_size, Some(17));
}
