//! A stop: the worker settles what it has consumed and leaves the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bson::doc;

use crate::harness::{MINUTE, Message, Producer, SHORT, Signal, World, catches_sigterm, metric};

#[test]
fn stop_under_load_settles_and_commits_everything_consumed() {
    let world = World::new(6);
    let producer = Producer::new(&world);
    for number in 0..40_000 {
        producer.send(producer.numbered(number, 6, 0));
        if number % 50 == 0 {
            producer.send(Message::refused("{", "invalid_json").key(number.to_string()));
        }
    }
    producer.flush();
    let setup = world
        .worker()
        .set("consumer.batch_size", 20)
        .set("consumer.writer_threads", 4)
        .set("consumer.shutdown_timeout_ms", 15_000);
    let mut first = setup.start();
    first.wait_until("messages are being stored", MINUTE, |metrics| {
        metrics.sum(metric::STORED) >= 3000
    });
    first.signal(Signal::Term);
    let status = first.wait_exit(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0));
    first.assert_no_errors();

    let stored = world.stored().read();
    let letters: BTreeSet<(i32, i64)> = world
        .dead_letters()
        .iter()
        .map(|letter| letter.source())
        .collect();
    let mut settled: BTreeMap<i32, BTreeSet<i64>> = (0..6).map(|p| (p, BTreeSet::new())).collect();
    for entry in world.ledger.entries() {
        let id = entry.content.message_id();
        let is_stored = id.is_some_and(|id| stored.contains_key(&id));
        if is_stored || letters.contains(&(entry.partition, entry.offset)) {
            settled
                .get_mut(&entry.partition)
                .unwrap()
                .insert(entry.offset);
        }
    }
    let mut total = 0;
    for (partition, committed) in world.committed() {
        let committed = committed.unwrap();
        total += committed;
        let expected: BTreeSet<i64> = (0..committed).collect();
        assert_eq!(
            settled[&partition], expected,
            "partition {partition} is settled to {committed}"
        );
    }
    assert!(total < 40_800, "everything was consumed before the stop");

    let mut second = setup.start();
    world.wait_committed_to_end(MINUTE);
    let metrics = second.metrics();
    assert_eq!(metrics.sum(metric::CONSUMED), 40_800 - total);
    assert_eq!(metrics.sum(metric::REPLAYED), 0);
    second.stop();
    world.check();
}

#[test]
fn idle_worker_stops_at_once_on_sigterm_and_sigint() {
    let world = World::new(2);
    for name in [Signal::Term, Signal::Int] {
        let mut worker = world.worker().start();
        worker.wait_ready();
        worker.signal(name);
        assert_eq!(worker.wait_exit(SHORT).code(), Some(0), "{name:?}");
        worker.assert_no_errors();
        assert_eq!(world.members(), 0, "it is still in the group");
    }
}

#[test]
fn worker_can_be_stopped_while_it_connects() {
    let world = World::new(1);
    let mut worker = world
        .worker()
        .set("kafka.bootstrap_servers", "127.0.0.1:1")
        .set("consumer.max_retries", 100)
        .start();
    worker.address();
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(SHORT).code(), Some(0));
}

/// A broker, or a server of MongoDB, that takes connections and says nothing.
#[test]
fn stop_during_the_start_does_not_wait_for_a_silent_server() {
    let world = World::new(1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let setup = world.worker().set("consumer.shutdown_timeout_ms", 1000);
    for setup in [
        setup.clone().set("kafka.bootstrap_servers", address),
        setup.set("mongodb.uri", format!("mongodb://{address}")),
    ] {
        let mut worker = setup.start();
        silent.accept().unwrap();
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(SHORT).code(), Some(0));
    }
}

#[test]
fn a_stop_at_any_moment_of_the_start_ends_with_exit_code_0() {
    let world = World::new(1);
    for millis in [0, 0, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
        let mut worker = world.worker().start();
        let started = Instant::now();
        while !catches_sigterm(worker.id()) {
            assert!(started.elapsed() < SHORT, "it doesn't catch SIGTERM");
            thread::yield_now();
        }
        thread::park_timeout(Duration::from_millis(millis));
        worker.signal(Signal::Term);
        let status = worker.wait_exit(SHORT);
        assert_eq!(status.code(), Some(0), "after {millis} ms: {status}");
    }
}

#[test]
fn a_stop_while_the_configuration_is_read_ends_with_exit_code_0() {
    let world = World::new(1);
    // Whoever reads this file waits until something is written to it.
    let file = world.path("config.fifo");
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let mut worker = world.worker().config_file(&file).start();
    worker.wait_for("it catches SIGTERM", SHORT, |worker| {
        catches_sigterm(worker.id()).then_some(())
    });
    worker.signal(Signal::Term);
    fs::write(&file, "{}").unwrap();
    assert_eq!(worker.wait_exit(SHORT).code(), Some(0));
    assert_eq!(worker.log().last().unwrap().msg, "stopped as asked");
}

#[test]
fn second_signal_ends_a_slow_stop() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    // The group notices soon that the first worker has ended without leaving.
    let setup = world
        .worker()
        .consumer_property("session.timeout.ms", "6000");
    let mut worker = setup.start();
    worker.wait_ready();
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 15_000 };
    let fail_point = world.fail_point("alwaysOn", block);
    producer.fill(0..10, 1);
    worker.wait_until("an insert hangs", SHORT, |metrics| {
        metrics.sum(metric::WRITERS_BUSY) >= 1
    });
    worker.signal(Signal::Term);
    worker.wait_for_log("asked to stop", SHORT);
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(Duration::from_secs(10)).code(), Some(1));
    assert_eq!(
        world.committed()[&0].unwrap_or(0),
        0,
        "an unsettled message was committed"
    );
    drop(fail_point);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 10);
}

#[test]
fn stop_with_a_hanging_insert_ends_in_time_and_commits_nothing_unsettled() {
    let world = World::with_own_mongodb(1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let mut worker = world
        .worker()
        .set("consumer.shutdown_timeout_ms", 3000)
        // The group notices soon that the worker has ended without leaving.
        .consumer_property("session.timeout.ms", "6000")
        .start();
    world.wait_committed_to_end(SHORT);
    let block = doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 20_000 };
    let fail_point = world.fail_point("alwaysOn", block);
    producer.fill(10..20, 1);
    worker.wait_until("an insert hangs", SHORT, |metrics| {
        metrics.sum(metric::WRITERS_BUSY) >= 1
    });
    worker.signal(Signal::Term);
    // Much shorter than the time for which the insert is blocked.
    let status = worker.wait_exit(Duration::from_secs(10));
    assert!(status.code().is_some(), "{status}");
    assert_eq!(world.committed()[&0], Some(10));
    drop(fail_point);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 20);
}
