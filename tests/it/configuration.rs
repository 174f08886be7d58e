//! A faulty configuration: the process ends with exit code 2 before it does anything.

use std::path::Path;

use crate::harness::{SHORT, Servers, WorkerSetup, World};

fn world() -> World {
    World::bare(Servers::of_the_run())
}

#[test]
fn faults_name_their_key_and_exit_with_2() {
    let world = world();
    let good = || world.worker();
    type Case = (WorkerSetup, &'static [&'static str]);
    #[rustfmt::skip] // A table.
    let table: Vec<Case> = vec![
        (good().unset("kafka.bootstrap_servers"), &["`kafka.bootstrap_servers`", "missing", "CONSUMER__KAFKA__BOOTSTRAP_SERVERS"]),
        (good().unset("mongodb.uri"), &["`mongodb.uri`", "missing", "CONSUMER__MONGODB__URI"]),
        (good().set("kafka.topic", "a b"), &["`kafka.topic`", "topic name"]),
        (good().set("kafka.group_id", " a"), &["`kafka.group_id`"]),
        (good().set("kafka.group_id", ""), &["CONSUMER__KAFKA__GROUP_ID", "empty"]),
        (good().set("kafka.dead_letter_topic", &world.topic), &["`kafka.dead_letter_topic`"]),
        (good().set("kafka.auto_offset_reset", "middle"), &["`kafka.auto_offset_reset`", "earliest", "latest"]),
        (good().set("kafka.enable_auto_commit", true), &["`kafka.enable_auto_commit`"]),
        (good().set("mongodb.uri", "http://nowhere"), &["`mongodb.uri`", "mongodb://"]),
        (good().set("mongodb.database", "admin"), &["`mongodb.database`"]),
        (good().set("mongodb.write_concern.w", 0), &["`mongodb.write_concern.w`"]),
        (good().set("mongodb.on_unavailable", "panic"), &["`mongodb.on_unavailable`", "pause"]),
        (good().set("consumer.batch_size", 0), &["`consumer.batch_size`"]),
        (good().set("consumer.batch_size", "many"), &["CONSUMER__CONSUMER__BATCH_SIZE", "`many`"]),
        (good().set("consumer.batch_size", 100_000), &["`consumer.batch_size`", "`consumer.max_in_flight_messages`"]),
        (good().set("metrics.port", 70_000), &["`metrics.port`"]),
        (good().set("metrics.host", "somewhere"), &["`metrics.host`"]),
        (good().set("logging.level", "loud"), &["`logging.level`"]),
        (good().set("consumer.batch_sise", 10), &["CONSUMER__CONSUMER__BATCH_SISE", "CONSUMER__CONSUMER__BATCH_SIZE"]),
        (good().consumer_property("enable.auto.commit", "true"), &["enable.auto.commit"]),
        (good().consumer_property("isolation.level", "read_uncommitted"), &["isolation.level", "read_committed"]),
        (good().property("kafka.producer_properties", "acks", "1"), &["acks", "all"]),
        (good().property("kafka.properties", "group.id", "other"), &["group.id", "`kafka.group_id`"]),
        (good().set("kafka.properties", "no JSON"), &["CONSUMER__KAFKA__PROPERTIES", "not valid JSON"]),
        // Several faults are reported together.
        (good().set("consumer.max_retries", 0).set("metrics.port", -1), &["`consumer.max_retries`", "`metrics.port`"]),
        // Properties that librdkafka doesn't know or refuses.
        (good().property("kafka.properties", "no.such.property", "x"), &["no.such.property"]),
        (good().consumer_property("heartbeat.interval.ms", "soon"), &["heartbeat.interval.ms"]),
        (good().property("kafka.producer_properties", "compression.type", "rar"), &["compression.type"]),
        (good().consumer_property("group.protocol", "consumer").consumer_property("session.timeout.ms", "6000"), &["session.timeout.ms"]),
    ];
    let mut missing = Vec::new();
    for (setup, texts) in table {
        let finished = setup.run();
        assert_eq!(finished.code, Some(2), "{texts:?}: {}", finished.errors);
        for text in texts {
            if !finished.errors.contains(text) {
                missing.push(format!("{text} is missing in: {}", finished.errors));
            }
        }
        assert_eq!(finished.output, "", "{texts:?}");
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn faults_of_the_file_name_their_key_and_exit_with_2() {
    let world = world();
    for (text, texts) in [
        ("{", &["JSON", "line 1"] as &[&str]),
        ("[]", &["object"]),
        (
            r#"{"kafka":{"topik":"x"}}"#,
            &["`kafka.topik`", "`kafka.topic`"],
        ),
        (
            r#"{"kafka":{"topic":"x","topic":"y"}}"#,
            &["`kafka.topic`", "more than once"],
        ),
        (r#"{"kafka":"x"}"#, &["`kafka`", "object"]),
        (
            r#"{"consumer":{"batch_size":"100"},"logging":{"format":"xml"}}"#,
            &["`consumer.batch_size`", "`logging.format`"],
        ),
    ] {
        let path = world.path("own.json");
        std::fs::write(&path, text).unwrap();
        let finished = world.worker().config_file(&path).run();
        assert_eq!(finished.code, Some(2), "{text}: {}", finished.errors);
        for expected in texts {
            assert!(
                finished.errors.contains(expected),
                "{expected} is missing in: {}",
                finished.errors
            );
        }
    }
    let finished = world
        .worker()
        .config_file("no-such-folder/config.json")
        .run();
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.errors.contains("no-such-folder/config.json"),
        "{}",
        finished.errors
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    for argument in ["--no-such-option", "no-such-command"] {
        let finished = world().worker().argument(argument).run();
        assert_eq!(finished.code, Some(2), "{argument}");
        assert!(finished.errors.contains(argument), "{}", finished.errors);
    }
}

#[test]
fn help_and_version_are_printed() {
    for (argument, text) in [
        ("--help", "Usage"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let finished = world().worker().argument(argument).run();
        assert_eq!(finished.code, Some(0), "{argument}");
        assert!(finished.output.contains(text), "{}", finished.output);
    }
}

#[test]
fn check_prints_the_effective_configuration() {
    let world = world();
    let finished = world
        .worker()
        .set("consumer.batch_size", 77)
        .argument("check")
        .run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    let effective: serde_json::Value = serde_json::from_str(&finished.output).unwrap();
    assert_eq!(effective["consumer"]["batch_size"], 77);
    assert_eq!(effective["kafka"]["topic"], world.topic.as_str());
    let finished = world
        .worker()
        .set("consumer.batch_size", 0)
        .argument("check")
        .run();
    assert_eq!(finished.code, Some(2));
}

#[test]
fn print_config_prints_what_check_prints() {
    let world = world();
    let output = |command| world.worker().argument(command).run().output;
    let printed = output("print-config");
    assert!(printed.contains("batch_size"), "{printed}");
    assert_eq!(printed, output("check"));
}

#[test]
fn completions_and_the_manual_need_no_configuration() {
    let world = world();
    let output = |arguments: &[&str]| {
        let setup = world.worker().config_file("no-such-folder/config.json");
        let setup = arguments.iter().fold(setup, |setup, a| setup.argument(a));
        let finished = setup.run();
        assert_eq!(finished.code, Some(0), "{}", finished.errors);
        finished.output
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            output(&["completions", shell]).contains("dead-letters"),
            "{shell}"
        );
    }
    let manual = output(&["man"]);
    for command in ["audit", "dead-letters replay", "health"] {
        let name = command.replace(' ', "-").replace('-', "\\-");
        assert!(manual.contains(&name), "{command}");
    }
}

#[test]
fn print_schema_prints_the_schema_of_the_repository_and_reads_no_configuration() {
    let finished = world()
        .worker()
        .config_file("no-such-folder/config.json")
        .set("consumer.batch_size", 0)
        .argument("print-schema")
        .run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.schema.json");
    let expected = std::fs::read_to_string(path).unwrap();
    assert!(
        finished.output.trim_end() == expected.trim_end(),
        "make it anew: kafka-mongo-consumer print-schema > config.schema.json"
    );
}

#[test]
fn a_file_may_name_its_schema_which_need_not_be_there() {
    let world = world();
    let path = world.path("own.json");
    std::fs::write(&path, r#"{"$schema": "./no-such.schema.json"}"#).unwrap();
    let finished = world.worker().config_file(&path).argument("check").run();
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
}

#[test]
fn configuration_value_can_come_from_a_file() {
    let world = World::new(1);
    let path = world.path("uri");
    std::fs::write(&path, format!("{}\n", world.servers.mongodb)).unwrap();
    let mut worker = world
        .worker()
        .unset("mongodb.uri")
        .variable("CONSUMER__MONGODB__URI_FILE", path.display())
        .start();
    worker.wait_ready();
    worker.stop();
    worker.assert_no_errors();
    let text = world
        .worker()
        .set("logging.format", "text")
        .set("logging.level", "debug");
    let mut worker = text.start();
    worker.wait_for("it logs text", SHORT, |worker| {
        worker
            .log()
            .iter()
            .any(|line| line.raw.contains(" DEBUG "))
            .then_some(())
    });
}
