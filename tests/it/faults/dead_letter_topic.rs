//! A dead letter topic that refuses records.

use super::assert_committed_is_settled;
use crate::harness::{Message, Producer, SHORT, World};

const LARGE: usize = 20_000;

/// Bytes that are not JSON and that no codec compresses. Another seed, which must not be 0, makes other bytes.
pub(super) fn incompressible(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

/// The offset of the record that is too large for the dead letter topic.
const LARGE_OFFSET: i64 = 25;

fn world_with_a_large_one() -> World {
    let world = World::new(1);
    let settings = [("max.message.bytes", "5000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &settings);
    let producer = Producer::new(&world);
    for number in 0..LARGE_OFFSET {
        producer.send(Message::refused(format!("small {number}"), "invalid_json"));
    }
    producer.send(Message::refused(incompressible(LARGE, 1), "invalid_json"));
    for number in 0..LARGE_OFFSET {
        producer.send(Message::refused(format!("after {number}"), "invalid_json"));
    }
    producer.fill(0..20, 1);
    world
}

#[test]
fn oversize_dead_letter_stops_the_worker_uncommitted() {
    let world = world_with_a_large_one();
    let setup = world.worker();
    let finished = setup.run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    let stopped = finished
        .log
        .iter()
        .rfind(|line| line.is_error())
        .expect("it says why");
    for part in [
        "offset 25",
        "max.message.bytes",
        "omit_value",
        &world.dead_letter_topic,
    ] {
        assert!(stopped.msg.contains(part), "{part}: {}", stopped.msg);
    }
    assert!(world.committed()[&0] <= Some(LARGE_OFFSET));
    assert_committed_is_settled(&world);
    // The records before it are dead-lettered.
    let small = |letter: &&crate::harness::DeadLetter| letter.source().1 < LARGE_OFFSET;
    let letters = world.dead_letters();
    assert_eq!(letters.iter().filter(small).count(), 25);

    // The advice of the error message helps.
    let settings = [("max.message.bytes", "1000000")];
    world.admin.alter_topic(&world.dead_letter_topic, &settings);
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    world.check();
}

#[test]
fn oversize_dead_letter_can_omit_its_value() {
    let world = world_with_a_large_one();
    let mut worker = world
        .worker()
        .set("kafka.dead_letter_oversize", "omit_value")
        .start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    let entries = world.ledger.entries();
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 51);
    for letter in letters {
        let (partition, offset) = letter.source();
        if offset == LARGE_OFFSET {
            assert_eq!(letter.value, None);
            assert_eq!(letter.header("dlq.value_omitted"), "true");
            assert_eq!(letter.header("dlq.value_size"), LARGE.to_string());
            assert_eq!(letter.reason(), "invalid_json");
            continue;
        }
        assert_eq!(
            letter.values("dlq.value_omitted"),
            Vec::<Option<&[u8]>>::new()
        );
        let entry = entries
            .iter()
            .find(|entry| (entry.partition, entry.offset) == (partition, offset))
            .unwrap();
        assert_eq!(letter.value.as_deref(), entry.content.value().as_deref());
    }
    assert_eq!(world.stored().count(), 20);
}

#[test]
fn letter_without_key_for_a_compacted_dead_letter_topic_stops_the_worker() {
    let world = World::new(1);
    let settings = [("cleanup.policy", "compact")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &settings);
    let producer = Producer::new(&world);
    for number in 0..5 {
        let key = format!("key {number}");
        producer.send(Message::refused("{", "invalid_json").key(key));
    }
    producer.send(Message::refused("no key", "invalid_json"));
    for number in 5..10 {
        let key = format!("key {number}");
        producer.send(Message::refused("{", "invalid_json").key(key));
    }
    producer.flush();
    let finished = world.worker().run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    let stopped = finished
        .log
        .iter()
        .rfind(|line| line.is_error())
        .expect("it says why");
    for part in ["offset 5", "compacted", &world.dead_letter_topic] {
        assert!(stopped.msg.contains(part), "{part}: {}", stopped.msg);
    }
    assert!(world.committed()[&0] <= Some(5));
    assert_committed_is_settled(&world);
    let letters = world.dead_letters();
    assert!(letters.iter().all(|letter| letter.key.is_some()));
    for offset in 0..5 {
        let is_there = letters.iter().any(|letter| letter.source().1 == offset);
        assert!(is_there, "offset {offset} is not dead-lettered");
    }
}
