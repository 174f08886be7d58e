//! Dead letter topics that don't take everything.

use crate::harness::{Fate, MINUTE, Message, Producer, SHORT, World};

/// Refused for its size by a topic that takes no more than 20,000 bytes a batch, even compressed.
fn large() -> Vec<u8> {
    // A cheap noise that zstd can't shorten.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    noise.take(60_000).collect()
}

fn world_with_small_dead_letters() -> World {
    let world = World::new(1);
    let small = [("max.message.bytes", "20000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &small);
    world
}

#[test]
fn a_dead_letter_that_is_too_large_stops_the_worker_and_is_not_passed_over() {
    let world = world_with_small_dead_letters();
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    producer.send(Message::refused(large(), "invalid_json"));
    producer.fill(10..20, 1);
    let mut worker = world.worker().start();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let errors = worker.errors();
    let told = errors.iter().any(|line| {
        line.msg.contains("max.message.bytes") && line.msg.contains(&world.dead_letter_topic)
    });
    assert!(told, "the setting to raise is named: {errors:#?}");
    let committed = world.committed()[&0].unwrap_or(0);
    assert!(committed <= 10, "{committed} is committed");
    // The same again is no way out; a larger limit is.
    let mut worker = world.worker().start();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let raised = [("max.message.bytes", "200000")];
    world.admin.alter_topic(&world.dead_letter_topic, &raised);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 20);
}

#[test]
fn a_dead_letter_that_is_too_large_can_go_without_its_value() {
    let world = world_with_small_dead_letters();
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    producer.send(
        Message::refused(large(), "invalid_json")
            .key("key")
            .header("trace", Some(b"1")),
    );
    producer.fill(10..20, 1);
    let mut worker = world
        .worker()
        .set("kafka.dead_letter_oversize", "omit_value")
        .start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.stored().count(), 20);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.value, None);
    assert_eq!(letter.key.as_deref(), Some(&b"key"[..]));
    assert_eq!(letter.header("trace"), "1");
    assert_eq!(letter.header("dlq.value_omitted"), "true");
    assert_eq!(letter.header("dlq.value_size"), "60000");
    assert_eq!(letter.source(), (0, 10));
}

#[test]
fn many_dead_letters_at_once_go_into_a_topic_of_small_batches() {
    let world = world_with_small_dead_letters();
    let producer = Producer::new(&world);
    for number in 0..2000 {
        let noise = large();
        let value = [number.to_string().as_bytes(), &noise[..500]].concat();
        producer.send(Message::refused(value, "invalid_json"));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().dead_lettered, 2000);
}

#[test]
fn a_dead_letter_topic_that_refuses_one_record_stops_the_worker_before_it() {
    let world = World::new(1);
    let compacted = [("cleanup.policy", "compact")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &compacted);
    let producer = Producer::new(&world);
    producer.send(Message::refused("{", "invalid_json").key("key"));
    producer.send(Message::refused("{", "invalid_json"));
    producer.flush();
    let mut worker = world.worker().start();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    assert!(world.committed()[&0].unwrap_or(0) <= 1);
    // It says where the record is that found no place.
    let errors = worker.errors();
    assert!(
        errors
            .iter()
            .any(|line| line.raw.contains(&world.dead_letter_topic)),
        "{errors:#?}"
    );
    world
        .ledger
        .change_fate(|entry| entry.offset == 1, Fate::Absent);
    world.check();
}

#[test]
fn a_topic_of_nothing_but_rejections_stops_the_worker_where_that_is_asked_for() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for _ in 0..200 {
        producer.send(Message::refused("{", "invalid_json"));
    }
    producer.flush();
    let mut worker = world
        .worker()
        .set("consumer.max_consecutive_rejections", 50)
        .start();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let committed = world.committed()[&0].unwrap_or(0);
    let letters = world.dead_letters();
    assert!(letters.len() <= 50, "{} dead letters", letters.len());
    assert!(committed <= 50, "{committed} is committed");
    assert!(
        worker
            .errors()
            .iter()
            .any(|line| line.msg.contains("`consumer.max_consecutive_rejections`"))
    );
}
