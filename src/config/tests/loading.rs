//! How a valid configuration is read.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::*;
use super::{MINIMAL, file_with, load};

#[test]
fn defaults_are_those_of_the_specification() {
    let config = load(MINIMAL, &[]).unwrap();
    let expected = Config {
        kafka: Kafka {
            bootstrap_servers: "kafka:9092".into(),
            topic: "data-topic".into(),
            group_id: "data-consumer-group".into(),
            dead_letter_topic: "dead-letter-topic".into(),
            auto_offset_reset: AutoOffsetReset::Earliest,
            enable_auto_commit: false,
            poll_timeout: Duration::from_secs(1),
            properties: [].into(),
            consumer_properties: [].into(),
            producer_properties: [].into(),
            dead_letter_oversize: DeadLetterOversize::Stop,
            max_poll_interval: Duration::from_secs(300),
        },
        message: Message {
            schema: "specification".into(),
            id: "message_id".into(),
            rules: std::sync::Arc::default(),
        },
        mongodb: Mongodb {
            uri: SecretUri::new("mongodb://mongodb:27017"),
            database: "pubsub_data".into(),
            collection: "messages".into(),
            indexes: vec![serde_json::from_value(json!({"created_at": 1})).unwrap()],
            on_unavailable: OnUnavailable::DeadLetter,
            reconnect_interval: Duration::from_secs(5),
            replay_after_outage: false,
            write_concern: WriteConcern {
                w: W::Nodes(1),
                journal: true,
            },
        },
        consumer: Consumer {
            batch_size: 100,
            max_batch_size: 100,
            batch_bytes: 4_194_304,
            offset_commit_frequency: 1000,
            offset_commit_interval: Duration::from_secs(1),
            max_retries: 3,
            retry_backoff: Duration::from_secs(1),
            writer_threads: 8,
            max_in_flight_bytes: 33_554_432,
            max_in_flight_messages: 20_000,
            max_consecutive_rejections: 0,
            max_rejection_ratio: Ratio::EVERYTHING,
            rejection_window: 1000,
            on_flood: OnFlood::Stop,
            stalled_after: Duration::from_secs(60),
            reload_interval: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(25),
        },
        logging: Logging {
            level: log::LevelFilter::Info,
            format: LogFormat::Json,
        },
        metrics: Metrics {
            enabled: true,
            host: [0, 0, 0, 0].into(),
            port: 8001,
        },
        control: Control {
            socket: String::new(),
        },
    };
    assert_eq!(config, expected);
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn the_file_in_the_repository_has_the_defaults_and_lets_batches_grow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    let shipped = Config::load::<&str, &str>(&path, []).unwrap();
    let mut expected = load(MINIMAL, &[]).unwrap();
    expected.consumer.max_batch_size = 1000;
    expected.mongodb.replay_after_outage = true;
    assert_eq!(shipped, expected);

    let mut text: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (section, key) in [
        ("mongodb", "on_unavailable"),
        ("mongodb", "replay_after_outage"),
        ("consumer", "max_batch_size"),
        ("consumer", "writer_threads"),
        ("consumer", "shutdown_timeout_ms"),
    ] {
        text[section].as_object_mut().unwrap().remove(key).unwrap();
    }
    let specified = json!({
        "$schema": "./config.schema.json",
        "kafka": {
            "bootstrap_servers": "kafka:9092", "topic": "data-topic",
            "group_id": "data-consumer-group", "dead_letter_topic": "dead-letter-topic",
            "auto_offset_reset": "earliest", "enable_auto_commit": false, "poll_timeout_ms": 1000
        },
        "mongodb": {
            "uri": "mongodb://mongodb:27017", "database": "pubsub_data", "collection": "messages"
        },
        "consumer": {
            "batch_size": 100, "offset_commit_frequency": 1000, "max_retries": 3,
            "retry_backoff_ms": 1000
        },
        "logging": {"level": "INFO", "format": "json"},
        "metrics": {"enabled": true, "port": 8001}
    });
    assert_eq!(text, specified);
}

/// A value other than the default for every key but the three objects of properties, as JSON.
fn other_values() -> Vec<(&'static str, Value)> {
    vec![
        ("kafka.bootstrap_servers", json!("a:1,b:2")),
        ("kafka.topic", json!("t")),
        ("kafka.group_id", json!("g")),
        ("kafka.dead_letter_topic", json!("d")),
        ("kafka.auto_offset_reset", json!("latest")),
        ("kafka.poll_timeout_ms", json!(1)),
        ("kafka.dead_letter_oversize", json!("omit_value")),
        ("message.schema", json!("any")),
        ("message.id", json!("$position")),
        ("mongodb.uri", json!("mongodb+srv://h/?tls=true")),
        ("mongodb.database", json!("db")),
        ("mongodb.collection", json!("c")),
        (
            "mongodb.indexes",
            json!([{"a": 1, "b": -1}, {"key": {"c": "text"}, "name": "n", "unique": true}]),
        ),
        ("mongodb.on_unavailable", json!("pause")),
        ("mongodb.reconnect_interval_ms", json!(10)),
        ("mongodb.write_concern.w", json!("two_sites")),
        ("mongodb.write_concern.journal", json!(false)),
        ("consumer.batch_size", json!(7)),
        ("consumer.max_batch_size", json!(8)),
        ("consumer.batch_bytes", json!(8)),
        ("consumer.offset_commit_frequency", json!(9)),
        ("consumer.offset_commit_interval_ms", json!(10)),
        ("consumer.max_retries", json!(11)),
        ("consumer.retry_backoff_ms", json!(12)),
        ("consumer.writer_threads", json!(13)),
        ("consumer.max_in_flight_bytes", json!(14)),
        ("consumer.max_in_flight_messages", json!(15)),
        ("consumer.max_consecutive_rejections", json!(16)),
        ("consumer.stalled_after_ms", json!(1009)),
        ("consumer.shutdown_timeout_ms", json!(1700)),
        ("logging.level", json!("DEBUG")),
        ("logging.format", json!("text")),
        ("metrics.enabled", json!(false)),
        ("metrics.host", json!("::1")),
        ("metrics.port", json!(0)),
    ]
}

/// Every value of an object that is not an object itself, by its path.
fn leaves(value: &Value) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (name, value) in value.as_object().unwrap() {
        match value {
            Value::Object(_) if !name.ends_with("properties") => leaves.extend(
                self::leaves(value)
                    .into_iter()
                    .map(|(path, leaf)| (format!("{name}.{path}"), leaf)),
            ),
            _ => leaves.push((name.clone(), value.clone())),
        }
    }
    leaves
}

#[test]
fn every_key_takes_effect_from_the_file_and_from_the_environment() {
    let values = other_values();
    let from_file = load(file_with(&values), &[]).unwrap();

    let owned: Vec<(String, String)> = values
        .iter()
        .map(|(path, value)| {
            let key = keys().iter().find(|key| key.path == *path).unwrap();
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            (key.env_name(), text)
        })
        .collect();
    let env: Vec<_> = owned
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(load("{}", &env).unwrap(), from_file);
    assert_eq!(load(MINIMAL, &env).unwrap(), from_file);

    let effective = leaves(&from_file.redacted_json());
    for (path, value) in values {
        assert!(effective.contains(&(path.to_owned(), value)), "{path}");
    }
}

#[test]
fn the_effective_configuration_has_every_key_and_can_be_loaded_again() {
    let config = load(
        file_with(&[
            (
                "kafka.properties",
                json!({"client.id": "worker", "session.timeout.ms": 9000}),
            ),
            (
                "kafka.consumer_properties",
                json!({"session.timeout.ms": "8000"}),
            ),
        ]),
        &[],
    )
    .unwrap();
    let effective = config.redacted_json();
    let paths: Vec<String> = leaves(&effective)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        paths,
        keys()
            .iter()
            .map(|key| key.path.as_str())
            .collect::<Vec<_>>()
    );
    assert_eq!(load(effective.to_string(), &[]).unwrap(), config);

    let other = load(file_with(&other_values()), &[]).unwrap();
    assert_eq!(load(other.redacted_json().to_string(), &[]).unwrap(), other);
}

#[test]
fn properties_become_texts_and_those_of_one_client_override_the_shared_ones() {
    let file = file_with(&[
        (
            "kafka.properties",
            json!({"a": "shared", "b": 1, "c": true}),
        ),
        (
            "kafka.consumer_properties",
            json!({"a": "consumer", "max.poll.interval.ms": 10_000}),
        ),
        (
            "kafka.producer_properties",
            json!({"a": "producer", "acks": -1}),
        ),
    ]);
    let env = [("CONSUMER__KAFKA__PROPERTIES", r#"{"b": "2", "d": "new"}"#)];
    let kafka = load(file, &env).unwrap().kafka;
    let expected = |own: [(&str, &str); 2]| {
        [("b", "2"), ("c", "true"), ("d", "new")]
            .into_iter()
            .chain(own)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let consumer = expected([("a", "consumer"), ("max.poll.interval.ms", "10000")]);
    assert_eq!(kafka.consumer_properties, consumer);
    assert_eq!(
        kafka.producer_properties,
        expected([("a", "producer"), ("acks", "-1")])
    );
    assert_eq!(kafka.max_poll_interval, Duration::from_secs(10));
}

#[test]
fn values_can_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let uri = directory.path().join("uri");
    let properties = directory.path().join("properties");
    std::fs::write(&properties, "{\"sasl.password\": \"hunter2\"}\n").unwrap();
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&uri, format!("mongodb://ann:hunter2@host{end}")).unwrap();
        let env = [
            ("CONSUMER__MONGODB__URI_FILE", uri.to_str().unwrap()),
            (
                "CONSUMER__KAFKA__PROPERTIES_FILE",
                properties.to_str().unwrap(),
            ),
        ];
        let config = load(MINIMAL, &env).unwrap();
        assert_eq!(config.mongodb.uri.expose(), "mongodb://ann:hunter2@host");
        assert_eq!(config.kafka.consumer_properties["sasl.password"], "hunter2");
    }
    std::fs::write(&uri, "mongodb://host\n\n").unwrap();
    let env = [("CONSUMER__MONGODB__URI_FILE", uri.to_str().unwrap())];
    assert!(
        load(MINIMAL, &env).is_err(),
        "one line break is cut off, not two"
    );
}

#[test]
fn the_uri_gives_the_write_concern_if_the_file_does_not() {
    let journal = ("mongodb.write_concern.journal", json!(false));
    for (options, given, w, expected_journal) in [
        ("w=majority", None, W::Majority, true),
        ("W=3&Journal=true", None, W::Nodes(3), true),
        ("w=two%20sites", None, W::Tag("two sites".into()), true),
        (
            "w=1",
            Some(("mongodb.write_concern.w", json!(1))),
            W::Nodes(1),
            true,
        ),
        ("journal=false", Some(journal.clone()), W::Nodes(1), false),
        ("", Some(journal), W::Nodes(1), false),
    ] {
        let uri = ("mongodb.uri", json!(format!("mongodb://a/?{options}")));
        let values: Vec<_> = given.into_iter().chain([uri]).collect();
        let config = load(file_with(&values), &[]).unwrap();
        let write_concern = WriteConcern {
            w,
            journal: expected_journal,
        };
        assert_eq!(config.mongodb.write_concern, write_concern, "{options}");
        assert_eq!(config.warnings().is_empty(), expected_journal, "{options}");
    }
}

#[test]
fn levels_are_accepted_in_any_case_and_with_their_python_names() {
    for (text, level) in [
        ("WARNING", "WARN"),
        ("warn", "WARN"),
        ("Off", "OFF"),
        ("trace", "TRACE"),
    ] {
        let config = load(file_with(&[("logging.level", json!(text))]), &[]).unwrap();
        assert_eq!(config.logging.level.as_str(), level);
    }
}

#[test]
fn a_byte_order_mark_is_ignored() {
    assert!(load(format!("\u{feff}{MINIMAL}"), &[]).is_ok());
}

#[test]
fn a_missing_file_is_reported_together_with_faults_of_the_environment() {
    let env = [("CONSUMER__METRICS__PORTS", "1")];
    let errors = Config::load(Path::new("no/such.json"), env).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "`no/such.json`: can't read the configuration: No such file or directory (os error 2); \
         give its path by `--config`\n\
         `CONSUMER__METRICS__PORTS`: unknown variable; did you mean `CONSUMER__METRICS__PORT`?"
    );
}

#[test]
fn variables_of_keys_are_told_apart() {
    let names: Vec<String> = keys()
        .iter()
        .flat_map(|key| [Some(key.env_name()), key.env_file_name()])
        .flatten()
        .collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.contains(&"CONSUMER__MONGODB__WRITE_CONCERN__W".to_owned()));
}
