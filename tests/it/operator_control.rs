//! The commands that talk to a running worker: `status`, `top`, `pause` and `resume`.

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    Finished, MINUTE, Message, Producer, SHORT, Worker, WorkerSetup, World, metric, until,
};

/// A folder for sockets, whose path is short: the system takes only 107 bytes.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn with_socket(world: &World, folder: &TempDir, number: usize) -> WorkerSetup {
    let socket = folder.path().join(format!("{number}.sock"));
    world
        .worker()
        .set("control.socket", socket.display())
        .consumer_property("heartbeat.interval.ms", "500")
}

fn run(setup: &WorkerSetup, arguments: &[&str]) -> Finished {
    let setup = arguments
        .iter()
        .fold(setup.clone(), |setup, argument| setup.argument(argument));
    setup.run()
}

fn succeed(setup: &WorkerSetup, arguments: &[&str]) -> String {
    let finished = run(setup, arguments);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.output
}

fn status(worker: &mut Worker) -> Value {
    let (code, body) = worker.get("/status");
    assert_eq!(code, 200);
    serde_json::from_str(&body).unwrap()
}

#[test]
fn status_tells_what_the_worker_has_done() {
    let world = World::new(2);
    let folder = folder();
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    producer.send(Message::refused("no json", "invalid_json"));
    producer.flush();
    let setup = with_socket(&world, &folder, 1);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    let shown = worker.wait_for("the partitions are shown", SHORT, |_| {
        let line = succeed(&setup, &["status", "--json"]);
        let shown: Value = serde_json::from_str(&line).unwrap();
        let partitions = shown["partitions"].as_array()?;
        let is_done = |partition: &Value| partition["lag"] == 0 && partition["in_flight"] == 0;
        partitions.iter().all(is_done).then_some(shown)
    });
    let schema = include_str!("../../docs/status.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    assert!(jsonschema::is_valid(&schema, &shown), "{shown:#}");
    assert_eq!(shown["state"], "running");
    assert_eq!(shown["ready"], true);
    assert_eq!(shown["worker"]["topic"], world.topic.as_str());
    assert_eq!(shown["totals"]["stored"], 100);
    assert_eq!(
        shown["totals"]["dead_lettered_by_reason"]["invalid_json"],
        1
    );
    let committed: i64 = (0..2)
        .map(|number| {
            shown["partitions"][number]["committed_offset"]
                .as_i64()
                .unwrap()
        })
        .sum();
    assert_eq!(committed, 101);
    let problem = shown["problems"]
        .as_array()
        .unwrap()
        .iter()
        .find(|problem| problem["fields"]["reason"] == "invalid_json")
        .expect("the rejection is a problem");
    assert_eq!(problem["level"], "error");
    assert!(!shown.to_string().contains("no json"), "no payload");

    let text = succeed(&setup, &["status"]);
    assert!(text.contains("state     running since "), "{text}");
    // The same over the metrics port, and of a worker that isn't there.
    let address = worker.address().to_string();
    let of_both = run(&setup, &["status", &address, "127.0.0.1:1"]);
    assert_eq!(of_both.code, Some(1));
    assert!(of_both.output.contains("state     running since "));
    assert!(of_both.errors.contains("127.0.0.1:1"), "{}", of_both.errors);
    worker.stop();
    assert!(!folder.path().join("1.sock").exists(), "it is removed");
    let gone = run(&setup, &["status"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.errors.contains("no worker answers"), "{}", gone.errors);
}

#[test]
fn a_pause_holds_through_a_rebalance_and_ends_with_resume() {
    let world = World::new(4);
    let folder = folder();
    let producer = Producer::new(&world);
    producer.fill(0..100, 4);
    let setup = with_socket(&world, &folder, 1)
        .set("consumer.stalled_after_ms", 1000)
        .set("kafka.poll_timeout_ms", 100);
    let mut paused = setup.start();
    world.wait_committed_to_end(MINUTE);
    let text = succeed(&setup, &["pause", "--reason", "an index is built"]);
    assert!(text.starts_with("paused: "), "{text}");
    let text = succeed(&setup, &["pause"]);
    assert!(text.starts_with("it has been paused by "), "{text}");

    producer.fill(100..300, 4);
    // A second worker takes two partitions, and gives them back. It isn't paused.
    let mut second = with_socket(&world, &folder, 2).start();
    second.wait_until("the second worker stores its share", MINUTE, |metrics| {
        metrics.sum(metric::ASSIGNED_PARTITIONS) == 2 && metrics.sum(metric::STORED) == 100
    });
    second.stop();
    paused.wait_until(
        "all partitions are back, and have work",
        MINUTE,
        |metrics| metrics.sum(metric::ASSIGNED_PARTITIONS) == 4 && metrics.sum(metric::LAG) == 100,
    );
    producer.fill(300..400, 4);
    let metrics = paused.wait_until("the lag grows", MINUTE, |metrics| {
        metrics.sum(metric::LAG) == 200
    });
    assert_eq!(metrics.sum(metric::STORED), 100, "nothing is taken");
    assert_eq!(metrics.sum(metric::PAUSED_BY_OPERATOR), 1);
    assert_eq!(metrics.sum(metric::PAUSED), 1);
    // Three times the bound of a standstill: nothing stands still that an operator has paused.
    let uptime = |shown: &Value| shown["uptime_seconds"].as_f64().unwrap();
    let before = uptime(&status(&mut paused));
    let shown = paused.wait_for("three seconds pass", SHORT, |_| {
        let line = succeed(&setup, &["status", "--json"]);
        let shown: Value = serde_json::from_str(&line).unwrap();
        (uptime(&shown) > before + 3.0).then_some(shown)
    });
    assert_eq!(shown["state"], "paused");
    assert_eq!(shown["pause"]["reason"], "an index is built");
    assert_eq!(
        shown["reasons"],
        serde_json::json!(["an operator has paused the worker"])
    );
    let (code, ready) = paused.get("/ready");
    assert_eq!(code, 503);
    assert_eq!(
        serde_json::from_str::<Value>(&ready).unwrap()["paused"],
        true
    );
    assert_eq!(paused.get("/health").0, 200);
    assert!(!paused.has_logged("does not move on"));

    // An operator may lack the configuration and its secrets.
    let socket = folder.path().join("1.sock");
    let bare = world.worker().unset("mongodb.uri");
    let text = succeed(&bare, &["resume", "--socket", socket.to_str().unwrap()]);
    assert!(text.starts_with("resumed; "), "{text}");
    assert_eq!(succeed(&setup, &["resume"]), "it was not paused");
    world.wait_committed_to_end(MINUTE);
    let metrics = paused.metrics();
    assert_eq!(metrics.sum(metric::PAUSED_BY_OPERATOR), 0);
    paused.wait_ready();
    paused.stop();
    paused.assert_no_errors();
    assert_eq!(world.check().stored, 400);
}

#[test]
fn a_paused_worker_settles_what_it_has_and_stops_as_asked() {
    let world = World::new(1);
    let folder = folder();
    Producer::new(&world).fill(0..100, 1);
    let setup = with_socket(&world, &folder, 1);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    succeed(&setup, &["pause"]);
    Producer::new(&world).fill(100..200, 1);
    worker.stop();
    worker.assert_no_errors();
    // The pause ends with the process.
    let mut next = setup.start();
    world.wait_committed_to_end(MINUTE);
    next.stop();
    assert_eq!(world.check().stored, 200);
}

#[test]
fn orders_without_a_socket_or_a_worker_say_what_to_do() {
    let world = World::new(1);
    let folder = folder();
    let unset = run(&world.worker(), &["pause"]);
    assert_eq!(unset.code, Some(2));
    assert!(
        unset.errors.contains("`control.socket` is not set"),
        "{}",
        unset.errors
    );
    let alone = run(&with_socket(&world, &folder, 1), &["pause"]);
    assert_eq!(alone.code, Some(1));
    assert!(
        alone.errors.contains("no worker answers"),
        "{}",
        alone.errors
    );
}

#[test]
fn a_socket_of_another_worker_is_refused_at_the_start() {
    let world = World::new(1);
    let folder = folder();
    let setup = with_socket(&world, &folder, 1);
    let mut first = setup.start();
    first.wait_ready();
    let second = setup.run();
    assert_eq!(second.code, Some(1));
    assert!(
        second.errors.contains("another worker uses it"),
        "{}",
        second.errors
    );
    succeed(&setup, &["status"]);
    first.stop();
}

#[test]
fn top_shows_all_workers_again_and_again() {
    let world = World::new(1);
    let mut worker = world.worker().start();
    worker.wait_ready();
    let address = worker.address().to_string();
    let top = world
        .worker()
        .argument("top")
        .argument(&address)
        .argument("127.0.0.1:1")
        .argument("--interval")
        .argument("1")
        .start();
    let mut top = top;
    let shown = top.wait_for("it has looked twice", SHORT, |top| {
        let output = top.output();
        (output.matches("stored/s").count() >= 2).then_some(output)
    });
    assert!(shown.contains("running"), "{shown}");
    assert!(shown.contains("does not answer"), "{shown}");
    assert!(
        !shown.contains('\x1b'),
        "no terminal, no control characters"
    );
    top.kill();

    // It ends when nobody reads it any more.
    let mut command = world
        .worker()
        .argument("top")
        .argument(&address)
        .argument("--interval")
        .argument("1")
        .command();
    let mut unread = command.spawn().unwrap();
    drop(unread.stdout.take());
    let status = until("it ends", SHORT, || unread.try_wait().unwrap());
    assert!(status.success(), "{status}");
    worker.stop();
}
