//! Servers that can't be reached or refuse the worker: the exit codes and the errors.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use bson::doc;
use mongodb::options::{CreateCollectionOptions, TimeseriesOptions};

use crate::harness::{Fate, Only, OwnServers, Producer, Servers, World};

#[test]
fn unreachable_kafka_at_the_start_exits_with_3() {
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
fn brokers_without_the_new_group_protocol_exit_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("kafka.properties");
    fs::write(&settings, "group.coordinator.rebalance.protocols=classic").unwrap();
    let options = ["--settings", settings.to_str().unwrap()];
    let kafka = OwnServers::start_with("classic-groups-only", Only::Kafka, &options);
    let world = World::on(kafka.servers(), 1);
    let finished = world
        .worker()
        .consumer_property("group.protocol", "consumer")
        .run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
    for words in [
        "Kafka refused us",
        "`group.protocol` `consumer`",
        "Kafka 4.0",
        "`classic`",
    ] {
        assert!(last.msg.contains(words), "{}", last.msg);
    }
    assert_eq!(world.dead_letters().len(), 0);
}

/// Plays a MongoDB 4.2: whatever it is asked, it answers what that version answers to the driver's first question.
#[expect(
    clippy::disallowed_methods,
    reason = "these threads end with the tests"
)]
fn old_mongodb() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || while answer_as_4_2(stream.as_ref().unwrap()).is_ok() {});
        }
    });
    address
}

fn answer_as_4_2(mut stream: &TcpStream) -> io::Result<()> {
    const OP_REPLY: i32 = 1;
    const OP_MSG: i32 = 2013;
    let mut header = [0; 16];
    stream.read_exact(&mut header)?;
    let field = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let mut asked = vec![0; usize::try_from(field(0)).unwrap() - header.len()];
    stream.read_exact(&mut asked)?;
    let hello = doc! {
        "ismaster": true, "minWireVersion": 0, "maxWireVersion": 8, "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000, "ok": 1,
    };
    let hello = bson::serialize_to_vec(&hello).unwrap();
    let (operation, before) = if field(12) == OP_MSG {
        (OP_MSG, vec![0; 5])
    } else {
        // Flags, cursor, first document; then one document.
        (OP_REPLY, [vec![0; 16], vec![1, 0, 0, 0]].concat())
    };
    let length = i32::try_from(16 + before.len() + hello.len()).unwrap();
    let numbers = [length, 1, field(4), operation].map(i32::to_le_bytes);
    stream.write_all(&[numbers.concat(), before, hello].concat())
}

/// It isn't an outage, which would redirect each message to the dead letter topic.
#[test]
fn a_mongodb_that_is_too_old_exits_with_4_and_dead_letters_nothing() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let worker = world
        .worker()
        .set("mongodb.uri", format!("mongodb://{}/", old_mongodb()));
    for setup in [
        worker.clone(),
        worker.clone().argument("check").argument("--connect"),
        worker.argument("audit"),
    ] {
        let finished = setup.run();
        assert_eq!(
            finished.code,
            Some(4),
            "{}{}",
            finished.errors,
            finished.output
        );
        let said = format!("{}{}", finished.errors, finished.output);
        assert!(
            said.contains("MongoDB has a version that this worker can't use"),
            "{said}"
        );
        assert!(said.contains("MongoDB 4.4"), "{said}");
    }
    world.ledger.change_fate(|_| true, Fate::Absent);
    assert_eq!(world.check().dead_lettered, 0);
}

/// The server of the tests is a member of none. It isn't an outage, which would redirect each message.
#[test]
fn a_replica_set_that_the_server_is_no_member_of_exits_with_4_and_dead_letters_nothing() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let uri = &world.servers.mongodb;
    let separator = if uri.contains('?') { "&" } else { "/?" };
    let named = format!(
        "{}{separator}replicaSet=elsewhere",
        uri.trim_end_matches('/')
    );
    let finished = world.worker().set("mongodb.uri", named).run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let last = finished.log.last().unwrap();
    assert!(last.msg.contains("`replicaSet=elsewhere`"), "{}", last.msg);
    world.ledger.change_fate(|_| true, Fate::Absent);
    assert_eq!(world.check().dead_lettered, 0);
}

/// The kinds of collections that the worker must refuse: what the error says, and how such a one is created.
fn unfit_collections() -> [(&'static str, CreateCollectionOptions); 3] {
    let time_series = TimeseriesOptions::builder()
        .time_field("created_at".to_owned())
        .build();
    [
        (
            "capped",
            CreateCollectionOptions::builder()
                .capped(true)
                .size(1 << 20)
                .build(),
        ),
        (
            "view",
            CreateCollectionOptions::builder()
                .view_on("others".to_owned())
                .build(),
        ),
        (
            "time-series",
            CreateCollectionOptions::builder()
                .timeseries(time_series)
                .build(),
        ),
    ]
}

#[test]
fn unfit_collections_are_refused() {
    for (kind, options) in unfit_collections() {
        let world = World::new(1);
        let database = world.mongodb();
        let create = database.create_collection("messages");
        create.with_options(options).run().unwrap();
        Producer::new(&world).fill(0..10, 1);
        let finished = world.worker().run();
        assert_eq!(finished.code, Some(4), "{kind}: {}", finished.errors);
        let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
        for words in [kind, &format!("{}.messages", world.database)] {
            assert!(last.msg.contains(words), "{words}: {}", last.msg);
        }
        assert_eq!(world.dead_letters().len(), 0, "{kind}");
        let committed = world.committed();
        assert!(
            committed.values().all(|offset| offset.unwrap_or(0) == 0),
            "{kind}: {committed:?}"
        );
    }
}

#[test]
fn database_that_exists_in_another_case_exits_with_4_and_dead_letters_nothing() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let collection = world.mongodb().collection("others");
    collection.insert_one(bson::doc! {}).run().unwrap();
    let other_case = world.database.to_uppercase();
    let finished = world.worker().set("mongodb.database", &other_case).run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    // The answer to the setup has the name, and the answer to an insert, which may come first, has the key.
    let names_it =
        finished.errors.contains(&other_case) || finished.errors.contains("`mongodb.database`");
    assert!(names_it, "{}", finished.errors);
    assert_eq!(world.dead_letters().len(), 0);
}

#[test]
fn wrong_password_exits_with_4_and_dead_letters_nothing() {
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

/// Without the addresses behind the name there is no server to wait for.
#[test]
fn an_srv_record_that_can_not_be_resolved_exits_with_5() {
    let world = World::new(1);
    for command in ["run", "audit"] {
        let finished = world
            .worker()
            .argument(command)
            .set("mongodb.uri", "mongodb+srv://mongodb.invalid/")
            .set("consumer.max_retries", 2)
            .set("consumer.retry_backoff_ms", 10)
            .run();
        assert_eq!(finished.code, Some(5), "{command}: {}", finished.errors);
        let words = "MongoDB could not be reached";
        assert!(
            finished.errors.contains(words),
            "{command}: {}",
            finished.errors
        );
    }
}

#[test]
fn metrics_port_in_use_exits_with_1_and_names_the_key() {
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

#[test]
fn an_address_of_another_host_exits_with_1_and_names_the_key() {
    let world = World::bare(Servers::of_the_run());
    // An address that is reserved for documentation.
    let finished = world.worker().set("metrics.host", "192.0.2.1").run();
    assert_eq!(finished.code, Some(1), "{}", finished.errors);
    let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
    assert!(last.msg.contains("set `metrics.host`"), "{}", last.msg);
    assert!(!last.msg.contains("`metrics.port`"), "{}", last.msg);
}

#[test]
fn too_low_a_limit_of_open_files_exits_with_1_and_names_it() {
    let world = World::bare(Servers::of_the_run());
    for arguments in [&["run"][..], &["audit"]] {
        let setup = arguments
            .iter()
            .fold(world.worker(), |setup, argument| setup.argument(argument));
        let command = setup.command();
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let words = "this process may open 100 files, and needs 128";
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn a_missing_right_to_read_documents_exits_with_4_at_the_start() {
    let world = World::with_own_mongodb(1);
    let refuse = doc! { "failCommands": ["find"], "errorCode": 13 };
    let _fail_point = world.fail_point("alwaysOn", refuse);
    let finished = world.worker().run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
    assert!(last.msg.contains("the privilege `find`"), "{}", last.msg);
}

#[test]
fn write_concern_of_several_nodes_on_a_standalone_is_refused() {
    let world = World::new(1);
    Producer::new(&world).fill(0..10, 1);
    let finished = world
        .worker()
        .set("mongodb.write_concern.w", 2)
        .set("mongodb.on_unavailable", "dead_letter")
        .run();
    assert_eq!(finished.code, Some(4), "{}", finished.errors);
    let last = finished.log.iter().rfind(|line| line.is_error()).unwrap();
    assert!(
        last.msg.contains("`mongodb.write_concern.w`"),
        "{}",
        last.msg
    );
    assert_eq!(world.dead_letters().len(), 0);
}
