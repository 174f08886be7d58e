//! A new configuration while the worker runs: by SIGHUP, and by a changed file. tests/it/security has new passwords.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{
    Background, Content, Fate, MINUTE, Message, Producer, SHORT, Signal, Worker, WorkerSetup,
    World, metric, signal, status_of, until,
};

const BEGINS_ANEW: &str = "stopped, to begin anew";
const CANT_RELOAD: &str = "the configuration can't be reloaded";
const STARTED: &str = "serving /metrics";

/// Waits until the worker has begun anew for the `times`th time and serves its port.
fn wait_begun_anew(worker: &mut Worker, times: usize) {
    worker.wait_for("it begins anew", MINUTE, |worker| {
        let has_begun =
            worker.times_logged(BEGINS_ANEW) == times && worker.times_logged(STARTED) == times + 1;
        has_begun.then_some(())
    });
}

#[test]
fn reloads_under_load_lose_and_repeat_nothing() {
    let world = World::new(2);
    let mut worker = world.worker().start();
    worker.wait_ready();
    let load = Background::start(&world, 0, 1000, 2);
    for times in 1..=5 {
        let metrics = worker.wait_until("it stores", MINUTE, |metrics| {
            metrics.sum(metric::STORED) > 200
        });
        assert_eq!(metrics.sum(metric::REPLAYED), 0, "after {times} reloads");
        worker.signal(Signal::Hup);
        wait_begun_anew(&mut worker, times);
    }
    load.stop();
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::REPLAYED), 0);
    worker.stop();
    for line in worker.log() {
        let repeats = ["uncommitted", "read again"];
        assert!(
            !repeats.iter().any(|words| line.msg.contains(words)),
            "{}",
            line.raw
        );
    }
    worker.assert_no_errors();
    world.check();
}

#[test]
fn a_changed_schema_is_used_without_a_signal() {
    let world = World::new(1);
    let schema = world.path("message.schema.json");
    fs::write(&schema, r#"{"required": ["name"]}"#).unwrap();
    let producer = Producer::new(&world);
    let message = |id: &str, fate| {
        let content = format!(r#"{{"message_id": "{id}", "name": "a"}}"#);
        Message::new(Content::Bytes(content.into_bytes()), fate).partition(0)
    };
    let mut worker = world
        .worker()
        .set("message.schema", schema.display())
        .set("consumer.reload_interval_ms", 100)
        .start();
    producer.send_now(message("before", Fate::Stored));
    world.wait_committed_to_end(MINUTE);

    fs::write(&schema, "{").unwrap();
    worker.wait_for_log(CANT_RELOAD, MINUTE);
    fs::write(&schema, r#"{"required": ["size"]}"#).unwrap();
    wait_begun_anew(&mut worker, 1);
    producer.send_now(message("after", Fate::DeadLettered("schema_violation")));
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    let reasons: Vec<String> = world
        .dead_letters()
        .iter()
        .map(|letter| letter.reason().to_owned())
        .collect();
    assert_eq!(reasons, ["schema_violation"]);
}

#[test]
fn a_pause_holds_through_a_reload() {
    let world = World::new(1);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let setup = world.worker().set("control.socket", socket.display());
    let producer = Producer::new(&world);
    let mut worker = setup.start();
    worker.wait_ready();
    let command = |words: &[&str]| {
        let command = words
            .iter()
            .fold(setup.clone(), |setup, word| setup.argument(word));
        let finished = command.run();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.output
    };
    command(&["pause", "--reason", "an index is built"]);
    worker.signal(Signal::Hup);
    wait_begun_anew(&mut worker, 1);
    worker.wait_until("it is paused", SHORT, |metrics| {
        metrics.sum(metric::PAUSED_BY_OPERATOR) == 1
    });
    assert!(command(&["status"]).contains("an index is built"));
    producer.fill(0..100, 1);
    command(&["resume"]);
    world.wait_committed_to_end(MINUTE);

    worker.signal(Signal::Hup);
    wait_begun_anew(&mut worker, 2);
    worker.wait_ready();
    assert_eq!(worker.metrics().sum(metric::PAUSED_BY_OPERATOR), 0);
    worker.stop();
    world.check();
}

#[test]
fn a_configuration_that_cant_be_used_changes_nothing() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    let file = world.path("changing.json");
    fs::write(&file, "{}").unwrap();
    let mut worker = world.worker().config_file(&file).start();
    worker.wait_ready();
    let serves_at = worker.address();
    for (times, (text, words)) in [
        ("{", "not valid JSON"),
        (
            r#"{"consumer": {"batch_sizes": 1}}"#,
            "`consumer.batch_sizes`",
        ),
        (
            r#"{"consumer": {"batch_size": 0}}"#,
            "`consumer.batch_size`",
        ),
        (r#"{"kafka": {"properties": {"no.such": 1}}}"#, "`no.such`"),
        (
            r#"{"mongodb": {"write_concern": {"w": 50}}}"#,
            "MongoDB refused us",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&file, text).unwrap();
        worker.signal(Signal::Hup);
        worker.wait_for("it says why", MINUTE, |worker| {
            (worker.times_logged(CANT_RELOAD) == times + 1).then_some(())
        });
        let log = worker.log();
        let line = log.iter().rfind(|line| line.msg.contains(CANT_RELOAD));
        let line = line.unwrap();
        assert!(line.is_error() && line.msg.contains(words), "{}", line.msg);
        let metrics = worker.metrics();
        assert_eq!(metrics.sum(metric::LAST_RELOAD_SUCCESSFUL), 0);
    }
    producer.fill(0..100, 1);
    world.wait_committed_to_end(MINUTE);
    assert_eq!(worker.address(), serves_at);
    assert_eq!(worker.times_logged(BEGINS_ANEW), 0);

    fs::write(&file, r#"{"consumer": {"batch_size": 1}}"#).unwrap();
    worker.signal(Signal::Hup);
    wait_begun_anew(&mut worker, 1);
    producer.fill(100..150, 1);
    world.wait_committed_to_end(MINUTE);
    let metrics = worker.metrics();
    assert_eq!(metrics.sum(metric::LAST_RELOAD_SUCCESSFUL), 1);
    // Each in a batch of its own.
    assert_eq!(metrics.observations(metric::BATCH_SIZE), 50);
    worker.stop();
    world.check();
}

/// The signal comes while the old program stops, while the process executes the new one, or while that starts: the log is
/// looked at in intervals.
#[test]
fn a_stop_while_a_worker_begins_anew_stops() {
    let world = World::new(1);
    Producer::new(&world).fill(0..100, 1);
    let setup = world.worker();
    for round in 0..10 {
        let mut worker = setup.start();
        worker.wait_ready();
        world.wait_committed_to_end(MINUTE);
        worker.signal(Signal::Hup);
        let last_words = ["the new configuration can be used", BEGINS_ANEW][round % 2];
        worker.wait_for_log(last_words, MINUTE);
        worker.signal(Signal::Term);
        let status = worker.wait_exit(MINUTE);
        assert_eq!(status.code(), Some(0), "round {round}: {status}");
        worker.logged("stopped as asked");
    }
    world.check();
}

/// Some of them come while the process executes its program anew.
#[test]
fn hangups_at_any_moment_do_nothing_but_reload() {
    let world = World::new(1);
    let mut worker = world.worker().start();
    worker.wait_ready();
    worker.wait_for("it has begun anew ten times", MINUTE, |worker| {
        worker.signal(Signal::Hup);
        (worker.times_logged(BEGINS_ANEW) >= 10).then_some(())
    });
    worker.wait_ready();
    worker.stop();
}

/// A command that waits for Kafka, which isn't there.
fn waiting_command(world: &World) -> WorkerSetup {
    world
        .worker()
        .set("kafka.bootstrap_servers", "127.0.0.1:1")
        .argument("check")
        .argument("--connect")
}

/// Waits until it has threads: its signals are released then.
fn wait_for_threads(process: u32) {
    until("it has threads", SHORT, || {
        let threads = status_of(process, "Threads").parse::<u32>();
        threads.is_ok_and(|threads| threads > 2).then_some(())
    });
}

#[test]
fn a_command_is_ended_by_a_hangup() {
    let world = World::new(1);
    let mut waiting = waiting_command(&world).start();
    wait_for_threads(waiting.id());
    waiting.signal(Signal::Hup);
    assert_eq!(waiting.wait_exit(MINUTE).code(), None);
}

#[test]
fn a_command_under_nohup_is_not_ended_by_a_hangup() {
    let world = World::new(1);
    let command = waiting_command(&world).command();
    let mut under_nohup = Command::new("nohup");
    under_nohup
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => under_nohup.env(name, value),
            None => under_nohup.env_remove(name),
        };
    }
    under_nohup
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = under_nohup.spawn().unwrap();
    wait_for_threads(child.id());
    signal(child.id(), Signal::Hup);
    // It ends by itself, and not by the signal.
    let status = until("it ends", MINUTE, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(3), "{status}");
}
