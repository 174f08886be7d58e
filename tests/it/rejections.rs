//! Messages that can't be stored: the dead letter topic gets them unchanged, with the reason.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{
    Content, DeadLetter, Fate, Json, LogLine, MINUTE, Message, Producer, SHORT, Worker, World,
    metric, text,
};

fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[rustfmt::skip] // A table.
fn refused() -> Vec<Message> {
    let json = Json::message;
    let with = |id: &str, field: &str, value: &str| Json::message(id).add(field, value);
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let huge = text(&"x".repeat(17 << 20));
    // The three bytes of this character without the last one are not UTF-8.
    let cut = with("utf8", "x", &text("\u{fffd}")).to_string().into_bytes().into_iter().filter(|byte| *byte != 0xbd).collect();
    let table: Vec<(Vec<u8>, &'static str)> = vec![
        (b"".to_vec(), "empty_payload"),
        (b"{".to_vec(), "invalid_json"),
        (b"   ".to_vec(), "invalid_json"),
        (b"\xef\xbb\xbf{}".to_vec(), "invalid_json"),
        (b"\0\xff\xfe".to_vec(), "invalid_json"),
        (cut, "invalid_json"),
        (format!("{} x", json("trailing")).into(), "invalid_json"),
        (format!("{0}{0}", json("two")).into(), "invalid_json"),
        (b"[]".to_vec(), "not_an_object"),
        (b"null".to_vec(), "not_an_object"),
        (b"\"text\"".to_vec(), "not_an_object"),
        (b"{}".to_vec(), "missing_field"),
        (json("a").without("metadata").into(), "missing_field"),
        (json("a").without("created_at").into(), "missing_field"),
        (json("a").without("name").into(), "missing_field"),
        (json("a").without("message_id").into(), "missing_field"),
        (json("").into(), "invalid_field"),
        (json("a").set("message_id", 7).into(), "invalid_field"),
        (json("a").set("name", "null").into(), "invalid_field"),
        (json("a").set("created_at", text("yesterday")).into(), "invalid_field"),
        (json("a").set("created_at", text("2023-02-30T12:34:56Z")).into(), "invalid_field"),
        (json("a").set("metadata", "[]").into(), "invalid_field"),
        (json("twice").add("x", 1).add("x", 1).into(), "duplicate_field"),
        (with("twice-below", "x", r#"[{"y":{"z":1,"z":2}}]"#).into(), "duplicate_field"),
        (with("id", "_id", r#""other""#).into(), "reserved_field"),
        (with("received", "received_at", r#""2023-07-15T12:34:56Z""#).into(), "reserved_field"),
        (with("nul", "x", r#"{"a\u0000b":1}"#).into(), "invalid_field_name"),
        (with("above", "x", "9223372036854775808").into(), "unsupported_number"),
        (with("far-above", "x", "[18446744073709551616]").into(), "unsupported_number"),
        (with("below", "x", "-9223372036854775809").into(), "unsupported_number"),
        (with("overflow", "x", "1e999").into(), "unsupported_number"),
        (with("deep", "x", &nested(101)).into(), "nesting_too_deep"),
        (with("very-deep", "x", &nested(5000)).into(), "nesting_too_deep"),
        (with("huge", "x", &huge).into(), "document_too_large"),
    ];
    let mut messages: Vec<Message> = table.into_iter().map(|(value, reason)| Message::refused(value, reason)).collect();
    messages.push(Message::new(Content::Null, Fate::DeadLettered("empty_payload")).key("tombstone"));
    messages
}

#[test]
fn every_reason_is_dead_lettered_and_the_neighbours_are_stored() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    let refused = refused();
    let count = i64::try_from(refused.len()).unwrap();
    for (number, message) in (0..).zip(refused) {
        producer.send(message.partition(0));
        producer.send(producer.numbered(number, 1, 0));
    }
    producer.flush();
    let mut worker = world.worker().start();
    let metrics = worker.wait_until("all is settled", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) == 2 * count
    });
    world.wait_committed_to_end(SHORT);
    assert_eq!(metrics.sum(metric::DEAD_LETTERS), count);
    assert_eq!(metrics.sum(metric::PROCESSING_ERRORS), count);
    let by_number = metrics.get(
        metric::PROCESSING_ERRORS,
        &[("reason", "unsupported_number")],
    );
    assert_eq!(by_number, Some(4));
    worker.stop();
    worker.assert_no_errors();
    let report = world.check();
    assert_eq!((report.stored, report.dead_lettered), (count, count));
    let letters = i64::try_from(world.dead_letters().len()).unwrap();
    assert_eq!(letters, count, "each once");
}

#[test]
fn dead_letter_has_the_original_record_and_its_source() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    let timestamp = 1_600_000_000_123;
    let originals = [
        Message::refused("{", "invalid_json")
            .key("key")
            .timestamp(timestamp),
        // No value and an empty one are different, and so are no key and an empty one.
        Message::refused("", "empty_payload").key(""),
        Message::refused("", "empty_payload"),
        Message::new(Content::Null, Fate::DeadLettered("empty_payload")).key(""),
        Message::new(Content::Null, Fate::DeadLettered("empty_payload")),
        Message::refused(b"\0\x80\xff".to_vec(), "invalid_json").key(b"\0\x80\xff".to_vec()),
        Message::refused("{", "invalid_json")
            .header("trace", Some(b"1"))
            .header("trace", Some(b"2"))
            .header("other", Some(b"3"))
            .header("trace", Some(b"1")),
        Message::refused("{", "invalid_json")
            .header("null", None)
            .header("empty", Some(b""))
            .header("", Some(b"no name"))
            .header("bytes", Some(b"\0\x80\xff\n"))
            .header("\u{e4}\u{1f600}", Some("ä".as_bytes())),
        // The headers of an earlier dead letter, as after a replay with `--to`.
        Message::refused("{", "invalid_json")
            .header("before", Some(b"1"))
            .header("dlq.reason", Some(b"write_rejected"))
            .header("dlq.error_code", Some(b"121"))
            .header("dlq.offset", Some(b"77"))
            .header("dlq.reason", Some(b"id_conflict"))
            .header("dlq.replay_count", Some(b"0"))
            .header("after", Some(b"2")),
    ];
    let begin = now_millis();
    for original in &originals {
        producer.send(original.clone().partition(0));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
    let mut letters = world.dead_letters();
    letters.sort_by_key(DeadLetter::source);
    assert_eq!(letters.len(), originals.len());
    for (index, (letter, original)) in letters.iter().zip(&originals).enumerate() {
        let case = format!("original {index}: {letter:?}");
        assert_eq!(
            letter.value,
            original.content.value().map(Into::into),
            "{case}"
        );
        assert_eq!(letter.key, original.key, "{case}");
        let kept: Vec<_> = original
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with("dlq."))
            .cloned()
            .collect();
        assert_eq!(letter.original_headers(), kept, "{case}");
        assert!(!letter.header("dlq.error").is_empty(), "{case}");
        assert_eq!(letter.values("dlq.error_code"), [], "{case}");
        assert_eq!(letter.header("dlq.topic"), world.topic, "{case}");
        assert_eq!(
            letter.source(),
            (0, i64::try_from(index).unwrap()),
            "{case}"
        );
        assert_eq!(letter.header("dlq.timestamp_type"), "create_time", "{case}");
        let sent_at: i64 = letter.header("dlq.timestamp").parse().unwrap();
        match original.timestamp {
            Some(given) => assert_eq!(sent_at, given, "{case}"),
            None => assert!((begin..=now_millis()).contains(&sent_at), "{case}"),
        }
        let failed_at = letter.header("dlq.failed_at");
        assert!(failed_at.ends_with('Z'), "{case}");
        let failed_at = failed_at.parse::<jiff::Timestamp>().unwrap();
        assert!(
            (begin..=now_millis()).contains(&failed_at.as_millisecond()),
            "{case}"
        );
        assert!(
            (begin..=now_millis()).contains(&letter.timestamp),
            "its own timestamp is the time of the failure: {case}"
        );
        assert_eq!(
            letter.header("dlq.attempts"),
            "0",
            "no insert was tried: {case}"
        );
        assert_eq!(letter.header("dlq.consumer_group"), world.group, "{case}");
        assert!(!letter.header("dlq.instance").is_empty(), "{case}");
        letter.header("dlq.replay_count").parse::<u32>().unwrap();
    }
}

#[test]
fn broker_timestamp_is_marked_as_log_append_time() {
    let world = World::with_topic(1, &[("message.timestamp.type", "LogAppendTime")]);
    let begin = now_millis();
    Producer::new(&world)
        .send_now(Message::refused("{", "invalid_json").timestamp(1_000_000_000_000));
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
    let letters = world.dead_letters();
    assert_eq!(letters[0].header("dlq.timestamp_type"), "log_append_time");
    let timestamp: i64 = letters[0].header("dlq.timestamp").parse().unwrap();
    assert!((begin..=now_millis()).contains(&timestamp), "{timestamp}");
}

#[test]
fn rejection_is_logged_without_the_payload() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.send(
        Message::refused(
            Json::message("private-id")
                .add("x", 1)
                .add("x", text("private-value")),
            "duplicate_field",
        )
        .key("private-key")
        .header("private-name", Some(b"private-header")),
    );
    producer.flush();
    let mut worker = world.worker().set("logging.level", "TRACE").start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    world.check();
    let line = worker.logged("a record goes to the dead letter topic");
    assert_eq!(line.level, "ERROR");
    assert_eq!(line.text("topic"), Some(world.topic.as_str()));
    assert_eq!(
        (line.number("partition"), line.number("offset")),
        (Some(0), Some(0))
    );
    assert_eq!(line.text("reason"), Some("duplicate_field"));
    for line in worker.log() {
        assert!(!line.raw.contains("private"), "{}", line.raw);
    }
}

#[test]
fn each_rejection_is_logged_or_counted_as_left_out() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for _ in 0..200 {
        producer.send(Message::refused("{", "invalid_json"));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    let accounted = |worker: &Worker| -> i64 {
        let lines = worker.log().into_iter().filter(LogLine::is_rejection);
        let numbers = lines.map(|line| {
            assert!(line.is_error(), "{}", line.raw);
            let is_one = !line.msg.starts_with("left out of the log");
            line.number("suppressed").unwrap() + i64::from(is_one)
        });
        numbers.sum()
    };
    // While it runs, without a further rejection.
    worker.wait_for("all rejections are logged or counted", SHORT, |worker| {
        (accounted(worker) == 200).then_some(())
    });
    for _ in 0..50 {
        producer.send(Message::refused("{", "invalid_json"));
    }
    producer.flush();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(accounted(&worker), 250);
    assert_eq!(worker.log().last().unwrap().msg, "stopped as asked");
    world.check();
}

/// 500 bytes that no codec compresses, different for each number.
fn noise(number: u32) -> Vec<u8> {
    let mut state = number;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0] | 0x80
    });
    noise.take(500).collect()
}

#[test]
fn many_dead_letters_fit_a_topic_of_small_batches() {
    let world = World::new(1);
    let small = [("max.message.bytes", "20000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &small);
    let producer = Producer::new(&world);
    for number in 0..2000 {
        producer.send(Message::refused(noise(number), "invalid_json"));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 2000);
}

/// The partitions of a topic that is just being created may refuse the first batches and accept later ones.
#[test]
fn no_dead_letter_is_lost_in_a_topic_that_is_being_created() {
    for _ in 0..4 {
        let world = World::new(6);
        let producer = Producer::new(&world);
        for number in 0..6000 {
            let message = Message::refused(format!("{{{number}"), "invalid_json");
            producer.send(message.partition(number % 6));
        }
        producer.flush();
        let mut workers: Vec<_> = (0..2).map(|_| world.worker().start()).collect();
        world.wait_committed_to_end(SHORT);
        for worker in &mut workers {
            worker.stop();
        }
        let report = world.check();
        assert_eq!((report.stored, report.dead_lettered), (0, 6000));
    }
}
