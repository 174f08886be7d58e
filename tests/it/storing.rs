//! Valid messages are stored once and unchanged.

use crate::harness::{Json, MINUTE, Message, Producer, SHORT, World, metric, text};

#[test]
fn hundred_thousand_messages_are_stored_once_and_unchanged() {
    const COUNT: u64 = 100_000;
    let world = World::new(6);
    Producer::new(&world).fill(0..COUNT, 6);
    let mut worker = world.worker().set("consumer.batch_size", 500).start();
    let metrics = worker.wait_until("all is settled and there is no lag", MINUTE, |metrics| {
        metrics.sum(metric::PROCESSED) >= 100_000
            && metrics.count(metric::LAG) == 6
            && metrics.sum(metric::LAG) == 0
    });
    world.wait_committed_to_end(SHORT);
    for name in [metric::PROCESSED, metric::STORED, metric::CONSUMED] {
        assert_eq!(metrics.sum(name), 100_000, "{name}");
    }
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.check().stored, 100_000);
}

#[test]
fn single_message_is_stored_without_waiting_for_more() {
    let world = World::new(6);
    let mut worker = world.worker().set("consumer.batch_size", 20_000).start();
    worker.wait_ready();
    let producer = Producer::new(&world);
    for (number, stored) in (0..).zip(1..=3) {
        producer.send_now(producer.numbered(number, 6, 0));
        worker.wait_for("the message is stored", SHORT, |_| {
            (world.stored().count() == stored).then_some(())
        });
    }
    worker.stop();
    assert_eq!(world.check().stored, 3);
}

#[test]
fn repeated_message_is_neither_stored_again_nor_dead_lettered() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..50, 1);
    // The same messages again: here perhaps in one batch, and below after all are stored.
    producer.fill(0..50, 1);
    let mut worker = world.worker().start();
    worker.wait_until("both rounds are settled", SHORT, |metrics| {
        metrics.sum(metric::PROCESSED) == 100
    });
    producer.fill(0..50, 1);
    let metrics = worker.wait_until("the third round is settled", SHORT, |metrics| {
        metrics.sum(metric::PROCESSED) == 150
    });
    assert_eq!(metrics.sum(metric::STORED), 50);
    assert_eq!(metrics.sum(metric::REPLAYED), 100);
    assert_eq!(metrics.sum(metric::DEAD_LETTERS), 0);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    world.check();
    assert_eq!(world.stored().count(), 50);
}

#[test]
fn every_kind_of_value_is_stored_unchanged() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    for (number, field) in [
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "9223372036854775807",
        "-9223372036854775808",
        "0.1",
        "1e308",
        "5e-324",
        "1.0",
        "\"\"",
        "\"a\\u0000b\"",
        "\"😀\"",
        "null",
        "[]",
        "{}",
        "[[],[{}],{\"z\":1,\"a\":[null,true,false]}]",
        "{\"$set\":1,\"a.b\":2,\"\":3}",
    ]
    .into_iter()
    .enumerate()
    {
        // The fields have an unusual order.
        let json = Json::default()
            .add("z", field)
            .add("message_id", text(&format!("id-{number}")))
            .add("metadata", format_args!(r#"{{"value":{field}}}"#))
            .add("name", text(""))
            .add("created_at", text("2023-07-15T12:34:56.789"));
        producer.send(Message::stored(json));
    }
    producer.flush();
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    worker.stop();
    assert_eq!(world.check().stored, 18);
}
