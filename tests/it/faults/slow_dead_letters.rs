//! A dead letter topic that takes letters slowly, or none any more.

use std::time::{Duration, Instant};

use rdkafka::mocking::MockCoordinator;

use super::broker_errors::world_on_mocks;
use super::dead_letter_topic::incompressible;
use super::{assert_committed_is_settled, settled};
use crate::harness::{MINUTE, Message, Producer, SHORT, WorkerSetup, World, limit_producer};

const LETTERS: u64 = 1200;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Kafka takes some 600 letters at once, and the others in more than twice the time for a stop.
fn world_with_a_quota() -> (World, WorkerSetup) {
    let world = World::new(1);
    world.admin.create_topic(&world.dead_letter_topic, 1, &[]);
    limit_producer(&world.servers.kafka, &world.group, 60_000);
    let producer = Producer::new(&world);
    for seed in 1..=LETTERS {
        producer.send(Message::refused(incompressible(1000, seed), "invalid_json"));
    }
    producer.flush();
    let setup = world
        .worker()
        .set("consumer.shutdown_timeout_ms", SHUTDOWN_TIMEOUT.as_millis())
        .property("kafka.producer_properties", "client.id", &world.group);
    (world, setup)
}

#[test]
fn slow_dead_letter_topic_is_waited_for() {
    let (world, setup) = world_with_a_quota();
    let mut worker = setup.start();
    worker.wait_until("all letters are acknowledged", MINUTE, |metrics| {
        settled(metrics) == i64::try_from(LETTERS).unwrap()
    });
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    world.check();
    assert_eq!(world.dead_letters().len(), 1200, "each letter once");
}

#[test]
fn stop_amid_slow_dead_letters_is_in_time_and_in_order() {
    let (world, setup) = world_with_a_quota();
    // With one writer, letters are acknowledged in the order of their messages, so all that are acknowledged in time
    // are committed.
    let setup = setup.set("consumer.writer_threads", 1);
    let mut worker = setup.start();
    worker.wait_until("the quota is used up", SHORT, |metrics| {
        settled(metrics) >= 500
    });
    let asked = Instant::now();
    worker.stop();
    assert!(asked.elapsed() < SHUTDOWN_TIMEOUT);
    worker.assert_no_errors();
    assert_committed_is_settled(&world);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    worker.assert_no_errors();
    world.check();
    // Those of the last requests, whose answers came too late for the commit, are written again.
    let letters = world.dead_letters().len();
    assert!((1200..1250).contains(&letters), "{letters} letters");
}

#[test]
fn dead_letter_topic_that_takes_nothing_any_more_stops_the_worker() {
    // Broker 2 has nothing but the dead letter topic.
    let (cluster, world) = world_on_mocks(2, 1);
    let group = MockCoordinator::Group(world.group.clone());
    cluster.coordinator(group, 1).unwrap();
    for (topic, broker) in [(&world.topic, 1), (&world.dead_letter_topic, 2)] {
        cluster.partition_leader(topic, 0, Some(broker)).unwrap();
    }
    let mut worker = world
        .worker()
        .set("consumer.shutdown_timeout_ms", SHUTDOWN_TIMEOUT.as_millis())
        .start();
    let producer = Producer::new(&world);
    let send = || {
        for _ in 0..20 {
            producer.send(Message::refused("{", "invalid_json"));
        }
        producer.flush();
    };
    send();
    world.wait_committed_to_end(SHORT);
    let before = world.committed()[&0];
    cluster.broker_down(2).unwrap();
    send();
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(1));
    let stopped = worker.logged("stopped: the record at partition 0, offset ");
    for part in [
        "no dead letter was acknowledged for 4 s",
        &world.dead_letter_topic,
    ] {
        assert!(stopped.msg.contains(part), "{part}: {}", stopped.msg);
    }
    assert_eq!(world.committed()[&0], before);
}
