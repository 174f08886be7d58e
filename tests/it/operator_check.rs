//! `check --connect` against real servers: what it finds, its exit codes, and that it changes nothing.

use mongodb::options::CreateCollectionOptions;
use serde_json::Value;

use crate::harness::{
    Finished, Only, OwnServers, Producer, SHORT, Servers, Signal, WorkerSetup, World,
};

/// Runs the check, and returns what it found with the status of each check.
#[track_caller]
fn check(setup: WorkerSetup) -> (Finished, Value) {
    let finished = ["check", "--connect", "--json"]
        .into_iter()
        .fold(setup, WorkerSetup::argument)
        .run();
    let found = serde_json::from_str(&finished.output)
        .unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    (finished, found)
}

/// The status and the text of one check.
#[track_caller]
fn result<'a>(found: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name);
    let check = check.unwrap_or_else(|| panic!("{name} is missing: {found}"));
    (
        check["status"].as_str().unwrap(),
        check["text"].as_str().unwrap(),
    )
}

#[track_caller]
fn assert_status(found: &Value, names: &[&str], status: &str) {
    for name in names {
        let result = result(found, name);
        assert_eq!(result.0, status, "{name}: {}", result.1);
    }
}

const KAFKA: [&str; 6] = [
    "kafka.brokers",
    "kafka.topic",
    "kafka.leaders",
    "kafka.read",
    "kafka.group",
    "kafka.committed",
];
const MONGODB: [&str; 6] = [
    "mongodb.server",
    "mongodb.collection",
    "mongodb.read",
    "mongodb.write_concern",
    "mongodb.index",
    "mongodb.privileges",
];

/// Nobody listens there.
fn without_mongodb(setup: WorkerSetup) -> WorkerSetup {
    setup.set(
        "mongodb.uri",
        "mongodb://user:hidden@127.0.0.1:1/?serverSelectionTimeoutMS=500",
    )
}

/// The check has created nothing, committed nothing and joined nothing.
#[track_caller]
fn assert_nothing_changed(world: &World) {
    assert!(world.committed().values().all(Option::is_none));
    assert_eq!(world.members(), 0);
    let collections = world.mongodb().list_collection_names().run().unwrap();
    assert!(collections.is_empty(), "{collections:?}");
}

#[test]
fn what_is_fit_passes_and_nothing_is_changed() {
    let world = World::new(2);
    let settings = [("retention.ms", "-1"), ("max.message.bytes", "40000000")];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &settings);
    Producer::new(&world).fill(0..10, 2);
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_eq!(found["ok"], true);
    assert_eq!(
        found["configuration"]["kafka"]["topic"],
        world.topic.as_str()
    );
    assert_status(&found, &KAFKA, "ok");
    assert_status(&found, &MONGODB, "ok");
    let kept = [
        "dead_letters.topic",
        "dead_letters.size",
        "dead_letters.cleanup_policy",
        "dead_letters.retention",
    ];
    assert_status(&found, &kept, "ok");
    // The tests' Kafka has one broker.
    assert_status(&found, &["dead_letters.copies"], "warning");
    assert_status(&found, &["mongodb.shard_key"], "skipped");
    assert!(result(&found, "kafka.topic").1.contains("2 partitions"));
    let committed = result(&found, "kafka.committed").1;
    assert!(
        committed.contains("0 of 2") && committed.contains("10 offsets"),
        "{committed}"
    );
    assert_nothing_changed(&world);

    // What is there after a worker's run is found, too.
    let mut worker = world.worker().start();
    world.wait_committed_to_end(SHORT);
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert!(result(&found, "kafka.group").1.contains("1 members"));
    assert!(result(&found, "kafka.committed").1.contains("2 of 2"));
    assert!(result(&found, "mongodb.index").1.contains("exists"));
    worker.stop();
}

#[test]
fn a_missing_topic_fails_and_is_not_created() {
    let world = World::bare(Servers::of_the_run());
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(4), "{}", finished.output);
    let (status, text) = result(&found, "kafka.topic");
    assert_eq!(status, "failed");
    assert!(
        text.contains(&world.topic) && text.contains("create it"),
        "{text}"
    );
    let (status, text) = result(&found, "dead_letters.topic");
    assert_eq!(status, "warning");
    assert!(text.contains(&world.dead_letter_topic), "{text}");
    assert_status(&found, &MONGODB, "ok");
    assert!(!world.has_topic());
    assert!(!world.has_dead_letter_topic());
    assert_nothing_changed(&world);
}

#[test]
fn the_weak_points_of_a_dead_letter_topic_are_warnings() {
    let world = World::new(1);
    let settings = [
        ("retention.ms", "60000"),
        ("max.message.bytes", "5000"),
        ("cleanup.policy", "compact,delete"),
    ];
    world
        .admin
        .create_topic(&world.dead_letter_topic, 1, &settings);
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    for (name, words) in [
        ("dead_letters.retention", "60000 ms"),
        ("dead_letters.size", "`max.message.bytes`"),
        ("dead_letters.cleanup_policy", "is compacted"),
    ] {
        let (status, text) = result(&found, name);
        assert_eq!(status, "warning", "{name}");
        assert!(text.contains(words), "{text}");
    }
    // The topic has no message.
    assert_status(&found, &["kafka.read"], "skipped");
}

#[test]
fn mongodb_away_exits_with_5_and_kafka_is_checked_nevertheless() {
    let world = World::new(1);
    Producer::new(&world).fill(0..3, 1);
    let (finished, found) = check(without_mongodb(world.worker()));
    assert_eq!(finished.code, Some(5), "{}", finished.output);
    assert_status(&found, &KAFKA, "ok");
    assert_status(&found, &["mongodb.server"], "failed");
    assert_status(&found, &MONGODB[1..], "skipped");
    for page in [&finished.output, &finished.errors] {
        assert!(!page.contains("hidden"), "{page}");
    }
}

#[test]
fn a_mongodb_that_hangs_exits_with_5() {
    let mongod = OwnServers::start("check-frozen", Only::Mongodb);
    let world = World::on(mongod.servers(), 1);
    mongod.signal("mongodb", Signal::Stop);
    let uri = world.servers.mongodb_with("serverSelectionTimeoutMS=1000");
    let (finished, found) = check(world.worker().set("mongodb.uri", uri));
    mongod.signal("mongodb", Signal::Cont);
    assert_eq!(finished.code, Some(5), "{}", finished.output);
    assert_status(&found, &["mongodb.server"], "failed");
    assert_status(&found, &["kafka.brokers", "kafka.topic"], "ok");
}

#[test]
fn kafka_away_exits_with_3_and_mongodb_is_checked_nevertheless() {
    let world = World::bare(Servers::of_the_run());
    let setup = world.worker().set("kafka.bootstrap_servers", "127.0.0.1:1");
    let (finished, found) = check(setup.clone());
    assert_eq!(finished.code, Some(3), "{}", finished.output);
    let (status, text) = result(&found, "kafka.brokers");
    assert_eq!(status, "failed");
    assert!(text.contains("Connection refused"), "{text}");
    assert_status(&found, &KAFKA[1..], "skipped");
    assert_status(&found, &MONGODB, "ok");
}

#[test]
fn a_capped_collection_exits_with_4() {
    let world = World::new(1);
    let capped = CreateCollectionOptions::builder()
        .capped(true)
        .size(1 << 20)
        .build();
    let create = world.mongodb();
    let create = create.create_collection("messages").with_options(capped);
    create.run().unwrap();
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(4), "{}", finished.output);
    let (status, text) = result(&found, "mongodb.collection");
    assert_eq!(status, "failed");
    assert!(text.contains("is capped"), "{text}");
    assert_status(&found, &["mongodb.read", "mongodb.index"], "ok");
    assert_status(&found, &["kafka.brokers", "kafka.topic"], "ok");
}

#[test]
fn a_write_concern_that_a_standalone_can_not_satisfy_exits_with_4() {
    let world = World::new(1);
    let (finished, found) = check(world.worker().set("mongodb.write_concern.w", 2));
    assert_eq!(finished.code, Some(4), "{}", finished.output);
    assert_status(&found, &["mongodb.write_concern"], "failed");
}

#[test]
fn the_index_is_not_created_and_its_size_is_told() {
    let world = World::new(1);
    let collection = world.mongodb().collection("messages");
    collection
        .insert_one(bson::doc! { "created_at": "2023-07-15" })
        .run()
        .unwrap();
    let (finished, found) = check(world.worker());
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let (status, text) = result(&found, "mongodb.index");
    assert_eq!(status, "warning");
    assert!(text.contains("about 1 documents"), "{text}");
    let indexes = collection.list_index_names().run().unwrap();
    assert_eq!(indexes, ["_id_"]);
}

#[test]
fn in_words_each_check_is_one_line() {
    let world = World::new(1);
    let setup = world.worker().argument("check").argument("--connect");
    let finished = setup.run();
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let lines: Vec<&str> = finished.output.lines().collect();
    for name in KAFKA.iter().chain(&MONGODB) {
        let line = lines.iter().find(|line| line.contains(name));
        let status = line.and_then(|line| line.split_whitespace().next());
        assert!(
            ["ok", "warning", "skipped"].map(Some).contains(&status),
            "{name}: {}",
            finished.output
        );
    }
}
