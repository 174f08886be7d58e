//! The start: several workers at once, the index, no metrics.

use bson::doc;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use crate::harness::{MINUTE, Producer, SHORT, Worker, World, metric};

#[test]
fn six_workers_started_at_once_share_the_topic_and_create_one_index() {
    let world = World::new(6);
    Producer::new(&world).fill(0..6000, 6);
    let setup = world
        .worker()
        .consumer_property("heartbeat.interval.ms", "500");
    let mut workers: Vec<Worker> = (0..6).map(|_| setup.start()).collect();
    for worker in &mut workers {
        worker.wait_until("it has its partition", MINUTE, |metrics| {
            metrics.sum(metric::ASSIGNED_PARTITIONS) == 1
        });
        worker.wait_ready();
    }
    world.wait_committed_to_end(MINUTE);
    let mut indexes = world.stored().indexes();
    indexes.sort();
    assert_eq!(indexes, ["_id_", "created_at_1"]);
    for worker in &mut workers {
        worker.stop();
        worker.assert_no_errors();
    }
    assert_eq!(world.check().stored, 6000);
}

#[test]
fn an_index_of_the_same_name_on_another_field_is_named_in_a_warning() {
    let world = World::new(1);
    let options = IndexOptions::builder()
        .name("created_at_1".to_owned())
        .build();
    let index = IndexModel::builder()
        .keys(doc! { "name": 1 })
        .options(options)
        .build();
    world
        .stored()
        .documents()
        .create_index(index)
        .run()
        .unwrap();
    let mut worker = world.worker().start();
    let line = worker.wait_for_log(
        "the index `created_at_1` of the collection is on other fields",
        SHORT,
    );
    assert_eq!(line.level, "WARN");
    worker.stop();
    worker.assert_no_errors();
}

#[test]
fn a_collection_with_too_many_indexes_is_a_warning_once() {
    let world = World::new(1);
    let indexes = (1..64).map(|number| {
        let field = format!("field{number}");
        IndexModel::builder().keys(doc! { field: 1 }).build()
    });
    world
        .stored()
        .documents()
        .create_indexes(indexes)
        .run()
        .unwrap();
    let setup = world.worker().set("mongodb.reconnect_interval_ms", 10);
    let mut worker = setup.start();
    worker.wait_for_log("the server takes no further index", SHORT);
    Producer::new(&world).fill(0..10, 1);
    world.wait_committed_to_end(SHORT);
    worker.stop();
    let lines = worker.log();
    let warnings = lines
        .iter()
        .filter(|line| line.msg.contains("no index on `created_at`"));
    assert_eq!(warnings.count(), 1);
    world.check();
}

#[test]
fn index_conflict_is_a_warning() {
    let world = World::new(1);
    let options = IndexOptions::builder()
        .name("of_the_operator".to_owned())
        .build();
    let index = IndexModel::builder()
        .keys(doc! { "created_at": 1 })
        .options(options)
        .build();
    world
        .stored()
        .documents()
        .create_index(index)
        .run()
        .unwrap();
    Producer::new(&world).fill(0..10, 1);
    let mut worker = world.worker().start();
    let line = worker.wait_for_log("index on `created_at`", SHORT);
    assert_eq!(line.level, "WARN");
    world.wait_committed_to_end(SHORT);
    worker.stop();
    worker.assert_no_errors();
    assert_eq!(world.stored().indexes().len(), 2);
    world.check();
}

#[test]
fn index_is_created_even_if_no_message_comes() {
    let world = World::new(1);
    let mut worker = world.worker().start();
    worker.wait_for("the index is there", SHORT, |_| {
        let collections = world.mongodb().list_collection_names().run().unwrap();
        (!collections.is_empty()
            && world
                .stored()
                .indexes()
                .contains(&"created_at_1".to_owned()))
        .then_some(())
    });
    worker.stop();
    worker.assert_no_errors();
}

#[test]
fn disabled_metrics_open_no_port() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let mut worker = world.worker().set("metrics.enabled", false).start();
    world.wait_committed_to_end(SHORT);
    assert!(!worker.has_logged("serving"));
    worker.stop();
    world.check();
}
