//! Servers that can't be reached or won't have us: which end the process finds.

use std::net::TcpListener;
use std::time::Duration;

use bson::doc;
use mongodb::options::TimeseriesOptions;

use crate::harness::{MINUTE, Only, OwnServers, Producer, SHORT, Servers, Signal, World};

#[test]
fn a_kafka_that_can_not_be_reached_at_the_start_exits_with_3() {
    let world = World::bare(Servers::of_the_run());
    for attempts in [1, 2] {
        let finished = world
            .worker()
            .set("kafka.bootstrap_servers", "127.0.0.1:1")
            .set("consumer.max_retries", attempts)
            .set("consumer.retry_backoff_ms", 10)
            .run();
        assert_eq!(finished.code, Some(3), "{}", finished.errors);
        let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
        assert!(
            last.msg.contains("Kafka could not be reached"),
            "{}",
            last.msg
        );
        assert!(
            last.msg.contains(&format!("{attempts} attempts")),
            "{}",
            last.msg
        );
    }
}

#[test]
fn a_kafka_that_goes_away_for_good_exits_with_3_and_loses_nothing() {
    let own = OwnServers::start("kafka-goes-away", Only::Kafka);
    let world = World::on(own.servers(), 2);
    let producer = Producer::new(&world);
    producer.fill(0..100, 2);
    let setup = world
        .worker()
        .set("consumer.max_retries", 2)
        .set("consumer.retry_backoff_ms", 10)
        .consumer_property("session.timeout.ms", "6000");
    let mut worker = setup.start();
    world.wait_committed_to_end(SHORT);
    own.signal("kafka", Signal::Kill);
    assert_eq!(worker.wait_exit(MINUTE).code(), Some(3));
    own.restart();
    producer.fill(100..200, 2);
    let mut worker = setup.start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 200);
}

/// The worker must refuse the collection that `make` has made.
fn refuses_collection(what: &str, make: impl FnOnce(&World)) {
    let world = World::new(1);
    make(&world);
    Producer::new(&world).fill(0..10, 1);
    let finished = world.worker().run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
    assert!(last.msg.contains(what), "{}", last.msg);
    assert!(
        last.msg.contains(&format!("{}.messages", world.database)),
        "{}",
        last.msg
    );
    assert_eq!(world.dead_letters().len(), 0);
    assert!(
        world
            .committed()
            .values()
            .all(|committed| committed.unwrap_or(0) == 0)
    );
}

#[test]
fn a_capped_collection_is_refused() {
    refuses_collection("capped", |world| {
        world
            .mongodb()
            .create_collection("messages")
            .capped(true)
            .size(1 << 20)
            .run()
            .unwrap();
    });
}

#[test]
fn a_view_is_refused() {
    refuses_collection("view", |world| {
        world
            .mongodb()
            .create_collection("messages")
            .view_on("others".to_owned())
            .run()
            .unwrap();
    });
}

#[test]
fn a_time_series_collection_is_refused() {
    refuses_collection("time-series", |world| {
        let options = TimeseriesOptions::builder()
            .time_field("created_at".to_owned())
            .build();
        world
            .mongodb()
            .create_collection("messages")
            .timeseries(options)
            .run()
            .unwrap();
    });
}

#[test]
fn a_wrong_password_exits_with_4_and_dead_letters_nothing() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let uri = world
        .servers
        .mongodb
        .replace("mongodb://", "mongodb://nobody:wrong@");
    let finished = world.worker().set("mongodb.uri", uri).run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    assert_eq!(world.dead_letters().len(), 0);
}

#[test]
fn a_right_that_is_taken_away_while_running_exits_with_4_and_loses_nothing() {
    let world = World::new(1);
    let producer = Producer::new(&world);
    producer.fill(0..10, 1);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    let refuse = doc! { "failCommands": ["insert"], "errorCode": 13 };
    let fail_point = world.fail_point("alwaysOn", refuse);
    producer.fill(10..20, 1);
    assert_eq!(worker.wait_exit(Duration::from_secs(40)).code(), Some(4));
    assert_eq!(world.committed()[&0], Some(10));
    drop(fail_point);
    let mut worker = world.worker().start();
    world.wait_committed_to_end(MINUTE);
    worker.stop();
    assert_eq!(world.check().stored, 20);
}

#[test]
fn a_metrics_port_in_use_exits_with_1_and_names_the_key() {
    let world = World::new(1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let finished = world.worker().set("metrics.port", port).run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    assert!(
        finished.errors.contains("`metrics.port`"),
        "{}",
        finished.errors
    );
    assert!(
        finished.errors.contains(&port.to_string()),
        "{}",
        finished.errors
    );
}
