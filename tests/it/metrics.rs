//! The pages for operators: metrics, health, readiness.

use std::io::Write;
use std::net::TcpStream;

use bson::doc;
use jiff::Timestamp;
use prometheus_parse::Value as Sample;
use serde_json::Value;

use crate::harness::{Message, Metrics, Producer, SHORT, Signal, World, metric};

/// The metrics of the specification, with their types.
const SPECIFIED: [(&str, &str); 8] = [
    (metric::PROCESSED, "counter"),
    (metric::PROCESSING_ERRORS, "counter"),
    (metric::ACTIVE_CONNECTIONS, "gauge"),
    (metric::BATCH_SIZE, "histogram"),
    (metric::PROCESSING_TIME, "histogram"),
    (metric::LAG, "gauge"),
    (metric::WRITE_TIME, "histogram"),
    (metric::COMMIT_TIME, "histogram"),
];

#[test]
fn health_command_asks_the_running_worker() {
    let world = World::new(1);
    let mut worker = world.worker().start();
    worker.wait_ready();
    let setup = world.worker().set("metrics.port", worker.address().port());
    let health = || setup.clone().argument("health").run();
    let alive = health();
    assert_eq!(alive.code, Some(0), "{}", alive.errors);
    assert!(alive.output.contains("\"alive\""), "{}", alive.output);
    let ready = setup.clone().argument("health").argument("--ready").run();
    assert_eq!(ready.code, Some(0), "{}", ready.errors);
    assert!(ready.output.contains("\"ready\":true"), "{}", ready.output);
    worker.signal(Signal::Stop);
    let frozen = health();
    assert_eq!(frozen.code, Some(1), "{}", frozen.output);
    worker.signal(Signal::Cont);
    worker.stop();
    let gone = health();
    assert_eq!(gone.code, Some(1));
    assert!(
        gone.errors.contains("doesn't answer on 127.0.0.1:"),
        "{}",
        gone.errors
    );
    let unknown = world.worker().argument("health").run();
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.errors.contains("`metrics.port`"),
        "{}",
        unknown.errors
    );
}

/// A message that was written an hour ago, and that MongoDB takes only after a while.
#[test]
fn lag_and_delivery_delay_are_shown_in_seconds() {
    let world = World::with_own_mongodb(1);
    let hour_ago = Timestamp::now().as_millisecond() - 3_600_000;
    let producer = Producer::new(&world);
    producer.send_now(producer.numbered(0, 1, 0).timestamp(hour_ago));
    let slow = world.fail_point(
        "alwaysOn",
        doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 5000 },
    );
    let mut worker = world.worker().start();
    worker.wait_until("the message waits", SHORT, |metrics| {
        metrics.float(metric::LAG_SECONDS) >= Some(3600.0)
    });
    drop(slow);
    let metrics = worker.wait_until("nothing waits", SHORT, |metrics| {
        metrics.float(metric::LAG_SECONDS) == Some(0.0)
    });
    assert_eq!(metrics.observations(metric::DELIVERY_DELAY), 1);
    assert!(metrics.total(metric::DELIVERY_DELAY) >= 3600);
    let labels = [("group", &*world.group), ("topic", &*world.topic)];
    assert_eq!(metrics.get(metric::INFO, &labels), Some(1));
    worker.stop();
    world.check();
}

#[test]
fn specified_metrics_have_the_right_values() {
    let world = World::new(2);
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    producer.send_now(Message::refused("{", "invalid_json"));
    let mut worker = world.worker().start();
    worker.wait_until("all is settled", SHORT, |metrics| {
        metrics.sum(metric::PROCESSED) == 101
            && metrics.count(metric::LAG) == 2
            && metrics.observations(metric::COMMIT_TIME) >= 1
    });
    world.wait_committed_to_end(SHORT);
    // The broker has the commit before the worker gets the answer.
    worker.wait_until("the commits are shown", SHORT, |metrics| {
        metrics.sum(metric::COMMITTED_OFFSET) == 101
    });
    let answer = worker.request("GET", "/metrics");
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    for (name, kind) in SPECIFIED {
        assert!(
            answer.body.contains(&format!("# TYPE {name} {kind}\n")),
            "{name}"
        );
        assert!(answer.body.contains(&format!("# HELP {name} ")), "{name}");
    }
    let metrics = Metrics::parse(&answer.body);
    for (name, _) in SPECIFIED.iter().filter(|(_, kind)| *kind == "histogram") {
        let is_histogram =
            |value: &Sample| matches!(value, Sample::Histogram(buckets) if !buckets.is_empty());
        assert!(
            metrics
                .samples()
                .iter()
                .any(|sample| sample.metric == *name && is_histogram(&sample.value)),
            "{name} has buckets"
        );
        assert!(
            metrics.get(&format!("{name}_count"), &[]).unwrap() >= 1,
            "{name} was observed"
        );
    }
    for target in ["kafka", "mongodb"] {
        let connected = metrics.get(metric::ACTIVE_CONNECTIONS, &[("target", target)]);
        assert_eq!(connected, Some(1), "{target}");
    }
    assert_eq!(
        metrics.observations(metric::PROCESSING_TIME),
        101,
        "each message once"
    );
    assert_eq!(metrics.total(metric::BATCH_SIZE), 101);
    let invalid = [("reason", "invalid_json")];
    assert_eq!(metrics.get(metric::PROCESSING_ERRORS, &invalid), Some(1));
    assert_eq!(metrics.sum(metric::PROCESSING_ERRORS), 1);
    for partition in ["0", "1"] {
        let labels = [("topic", world.topic.as_str()), ("partition", partition)];
        assert_eq!(metrics.get(metric::LAG, &labels), Some(0));
        let committed = world.committed()[&partition.parse().unwrap()].unwrap();
        assert_eq!(
            metrics.get(metric::COMMITTED_OFFSET, &labels),
            Some(committed)
        );
    }
    assert_eq!(metrics.sum(metric::IN_FLIGHT_MESSAGES), 0);
    assert_eq!(metrics.sum(metric::IN_FLIGHT_BYTES), 0);
    let oldest = metrics.float(metric::OLDEST_IN_FLIGHT).unwrap();
    assert!(oldest.abs() < f64::EPSILON, "nothing is {oldest} s old");
    assert!(metrics.sum(metric::RESIDENT_MEMORY) > 0);
    worker.stop();
    world.check();
}

#[test]
fn health_and_ready_answer_as_an_orchestrator_expects() {
    let world = World::new(2);
    let mut worker = world.worker().start();
    worker.wait_ready();
    let (status, body) = worker.get("/health");
    assert_eq!(status, 200);
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "alive");
    assert!(health["last_poll_ms"].is_u64(), "{body}");
    let (status, body) = worker.get("/ready");
    assert_eq!(status, 200);
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["assigned_partitions"], serde_json::json!([0, 1]));
    for (method, path, expected) in [
        ("GET", "/", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/health", 405),
    ] {
        let answer = worker.request(method, path);
        assert_eq!(answer.status, expected, "{method} {path}");
        if expected == 405 {
            assert!(answer.head.contains("Allow: GET, HEAD"), "{}", answer.head);
        }
    }
    worker.stop();
    worker.assert_no_errors();
}

#[test]
fn stalled_clients_block_neither_the_work_nor_the_answers() {
    let world = World::new(2);
    let producer = Producer::new(&world);
    let mut worker = world.worker().start();
    worker.wait_ready();
    let address = worker.address();
    let mut clients: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let begun = &b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Endless: "[..];
        // The server may have closed such a connection already.
        let _ = client.write_all(&begun[..number % begun.len()]);
    }
    producer.fill(0..5000, 2);
    world.wait_committed_to_end(SHORT);
    assert_eq!(worker.get("/health").0, 200);
    assert_eq!(worker.metrics().sum(metric::STORED), 5000);
    drop(clients);
    assert!(worker.is_ready());
    worker.stop();
    worker.assert_no_errors();
    world.check();
}
