//! The error message for each faulty value.

use serde_json::{Value, json};

use super::{file_with, load};

fn faults_of(values: &[(&str, Value)]) -> Vec<String> {
    load(file_with(values), &[]).err().unwrap_or_default()
}

/// Key, value as JSON, and the fault.
const FAULTY_VALUES: &str = r#"
consumer.batch_size = 0 => found `0`, expected a whole number from 1 to 100000
consumer.batch_size = 1.0 => found `1.0`, expected a whole number from 1 to 100000
consumer.batch_size = "9" => found a text, expected a whole number from 1 to 100000
consumer.batch_size = [9] => found an array, expected a whole number from 1 to 100000
consumer.max_retries = 0 => found `0`, expected a whole number from 1 to 100
consumer.retry_backoff_ms = 60001 => found `60001`, expected a whole number from 1 to 60000
kafka.poll_timeout_ms = 1001 => found `1001`, expected a whole number from 1 to 1000
consumer.shutdown_timeout_ms = 999 => found `999`, expected a whole number from 1000 to 3600000
consumer.max_batch_size = -1 => found `-1`, expected a whole number from 0 to 100000
consumer.writer_threads = -1 => found `-1`, expected a whole number from 1 to 256
metrics.port = 65536 => found `65536`, expected a whole number from 0 to 65535
metrics.host = "localhost" => found `localhost`, expected an IP address such as `0.0.0.0` or `::1`
metrics.enabled = "true" => found a text, expected `true` or `false`
metrics.enabled = null => found null, expected `true` or `false`
kafka.auto_offset_reset = "newest" => found `newest`, expected `earliest` or `latest`
logging.format = "xml\n" => found `xml\n`, expected `json`, `ecs` or `text`
kafka.topic = "^data-.*" => found `^data-.*`, expected a topic name: 1 to 249 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, not `.` or `..`
kafka.group_id = "" => found ``, expected a name that is not empty, without white space at its ends
kafka.bootstrap_servers = "kafka:" => found `kafka:`, expected `host:port`, or several of them separated by commas
mongodb.database = "a.b" => found `a.b`, expected a database name: 1 to 63 bytes, without white space, `/`, `\`, `"`, `$` and `.`
mongodb.database = "local" => found `local`, a database of the server's own; use another
mongodb.collection = "system.x" => found `system.x`, expected a collection name: not empty, without `$`, not beginning with `.` or `system.`
mongodb.uri = "postgres://ann:hunter2@host" => found another beginning, expected a URI that begins with `mongodb://` or `mongodb+srv://`
mongodb.uri = "mongodb://host\n" => found white space or a control character in it, expected a URI that begins with `mongodb://` or `mongodb+srv://`
mongodb.uri = "mongodb://ann:x?w=hunter2&@host" => found an `@` after a `?`; write `%3F` for a `?` in the credentials, and `%40` for an `@` in an option
mongodb.uri = 5 => found a number, expected a URI that begins with `mongodb://` or `mongodb+srv://`
mongodb.write_concern.w = 0 => found `0`, with which the server acknowledges nothing and messages can be lost; expected at least `1`
mongodb.write_concern.w = "3" => found `3`, expected a whole number from 1 to 50, `majority` or the name of a custom write concern
mongodb.write_concern.w = "Majority" => found `Majority`, expected a whole number from 1 to 50, `majority` or the name of a custom write concern
kafka.enable_auto_commit = true => found `true`, expected `false`: Kafka's client would commit offsets by time, whether or not their messages are stored, and a crash would lose those; remove the key
message.schema = "" => found ``, expected `specification`, `any` or the path of a JSON Schema file
message.schema = "no-such-file.json" => can't read the schema `no-such-file.json`: No such file or directory (os error 2); expected `specification`, `any` or the path of a JSON Schema file
message.schema = "{}" => found a text that looks like a schema itself, expected `specification`, `any` or the path of a JSON Schema file; a variable that ends with `_FILE` names a file that holds such a path
message.schema = {} => found an object, expected `specification`, `any` or the path of a JSON Schema file
message.id = "" => found ``, expected the name of a field (dots reach inside), `$key` or `$position`
message.id = "$offset" => found `$offset`, expected the name of a field (dots reach inside), `$key` or `$position`
message.id = "a..b" => found `a..b`, expected the name of a field (dots reach inside), `$key` or `$position`
message.id = ".a" => found `.a`, expected the name of a field (dots reach inside), `$key` or `$position`
message.id = "received_at" => found `received_at`, expected the name of a field (dots reach inside), `$key` or `$position`
message.id = "_id.x" => found `_id.x`, expected the name of a field (dots reach inside), `$key` or `$position`
mongodb.indexes = {"created_at": 1} => found an object, expected a list of indexes, such as `[{"created_at": 1}]`
mongodb.indexes = [1, {}, "a"] => found a list with other values in it, expected a list of indexes, such as `[{"created_at": 1}]`
kafka.properties = "acks=all" => found a text, expected an object of librdkafka properties
kafka = [] => found an array, expected an object
mongodb.write_concern = 1 => found a number, expected an object
"#;

#[test]
fn a_refused_value_is_reported_with_what_is_expected() {
    for line in FAULTY_VALUES.trim().lines() {
        let (assignment, fault) = line.split_once(" => ").unwrap();
        let (path, json) = assignment.split_once(" = ").unwrap();
        let value = serde_json::from_str(json).unwrap();
        assert_eq!(faults_of(&[(path, value)]), [format!("`{path}`: {fault}")]);
    }
}

#[test]
fn an_unknown_key_is_reported_with_the_nearest_known_key() {
    for (path, fault) in [
        ("kafka.topics", "did you mean `kafka.topic`?"),
        (
            "kafka.dead_letter_tpoic",
            "did you mean `kafka.dead_letter_topic`?",
        ),
        ("mongodb.batch_size", "did you mean `consumer.batch_size`?"),
        ("batch_size", "did you mean `consumer.batch_size`?"),
        (
            "mongodb.writeconcern",
            "did you mean `mongodb.write_concern`?",
        ),
        ("metric", "did you mean `metrics`?"),
        (
            "logging.zzz",
            "known here are `logging.level`, `logging.format`",
        ),
        (
            "zzz",
            "known here are `consumer`, `control`, `kafka`, `logging`, `message`, `metrics`, `mongodb`",
        ),
    ] {
        let expected = format!("`{path}`: unknown key; {fault}");
        assert_eq!(faults_of(&[(path, json!("hunter2"))]), [expected]);
    }
}

#[test]
fn a_batch_larger_than_what_may_be_in_flight_is_refused() {
    let values = [
        ("consumer.batch_size", json!(101)),
        ("consumer.max_in_flight_messages", json!(100)),
        ("consumer.batch_bytes", json!(2000)),
        ("consumer.max_in_flight_bytes", json!(1999)),
    ];
    assert_eq!(
        faults_of(&values),
        [
            "`consumer.batch_bytes`: found `2000`, more than `consumer.max_in_flight_bytes` with `1999`; lower the one or raise the other",
            "`consumer.batch_size`: found `101`, more than `consumer.max_in_flight_messages` with `100`; lower the one or raise the other",
        ]
    );
}

#[test]
fn a_share_of_rejections_that_allows_none_must_be_0() {
    let faults = |ratio, window| {
        faults_of(&[
            ("consumer.max_rejection_ratio", json!(ratio)),
            ("consumer.rejection_window", json!(window)),
        ])
    };
    assert_eq!(
        faults(0.0005, 1000),
        [
            "`consumer.max_rejection_ratio`: found `0.0005`, which of `consumer.rejection_window` with `1000` is less than one message; raise the one or the other, or set the ratio to 0 to allow no rejection"
        ]
    );
    for (ratio, window) in [(0.0005, 2000), (0.0, 1000), (1.0, 1)] {
        assert_eq!(faults(ratio, window), [""; 0]);
    }
}

#[test]
fn a_largest_batch_below_the_batch_size_or_above_what_may_be_in_flight_is_refused() {
    assert_eq!(
        faults_of(&[("consumer.max_batch_size", json!(99))]),
        [
            "`consumer.max_batch_size`: found `99`, less than `consumer.batch_size` with `100`; raise the one or lower the other"
        ]
    );
    assert_eq!(
        faults_of(&[("consumer.max_batch_size", json!(20_001))]),
        [
            "`consumer.max_batch_size`: found `20001`, more than `consumer.max_in_flight_messages` with `20000`; lower the one or raise the other"
        ]
    );
    for size in [0, 100, 20_000] {
        assert_eq!(
            faults_of(&[("consumer.max_batch_size", json!(size))]),
            [""; 0]
        );
    }
}

#[test]
fn a_namespace_longer_than_mongodb_takes_is_refused() {
    assert_eq!(
        faults_of(&[("mongodb.collection", json!("x".repeat(243)))]),
        [""; 0]
    );
    assert_eq!(
        faults_of(&[("mongodb.collection", json!("x".repeat(244)))]),
        [
            "`mongodb.collection`: 256 bytes long together with `mongodb.database` and the dot between them, which MongoDB limits to 255; use a shorter name"
        ]
    );
}

#[test]
fn properties_are_checked_in_all_three_objects() {
    let values = [
        (
            "kafka.properties",
            json!({"enable.auto.commit": false, "a": 1.5, "b": []}),
        ),
        (
            "kafka.consumer_properties",
            json!({"max.poll.interval.ms": 9999}),
        ),
        (
            "kafka.producer_properties",
            json!({"acks": 1, "message.timeout.ms": 5000}),
        ),
        ("consumer.shutdown_timeout_ms", json!(5000)),
    ];
    assert_eq!(
        faults_of(&values),
        [
            "`kafka.properties` `a`: found a number with a decimal point; put it in quotes to pass it to librdkafka as it is",
            "`kafka.properties` `b`: found an array, expected a text, a whole number or a boolean",
            "`kafka.consumer_properties` `max.poll.interval.ms`: found `9999`, expected a whole number from 10000 on: a rebalance may take half of it to settle and commit the messages in flight, and less than 5 s is too short for that",
            "`kafka.producer_properties` `acks`: found `1`, expected `all`: a dead letter counts as kept only when all in-sync replicas have it",
            "`kafka.producer_properties` `message.timeout.ms`: found `5000`, expected a whole number from 1 to below `5000`, which is `consumer.shutdown_timeout_ms`: a stop waits for the delivery report of every dead letter",
        ]
    );
}

#[test]
fn an_option_of_the_uri_that_the_driver_refuses_is_reported() {
    let unknown = "the MongoDB driver has no such option; remove it";
    let options =
        "socketTimeoutMS=1&timeoutMS=1&j=true&appName=a&appname=b&compressors=zstd,lz4&tls=true";
    let uri = (
        "mongodb.uri",
        json!(format!("mongodb://ann:secret@a/?{options}")),
    );
    assert_eq!(
        faults_of(&[uri]),
        [
            format!("`mongodb.uri` `sockettimeoutms`: {unknown}"),
            format!("`mongodb.uri` `timeoutms`: {unknown}"),
            format!("`mongodb.uri` `j`: {unknown}"),
            "`mongodb.uri` `appname`: given more than once; leave one of them".to_owned(),
            "`mongodb.uri` `compressors`: found `lz4`, expected `snappy`, `zlib` or `zstd`"
                .to_owned(),
        ]
    );
}

#[test]
fn a_uri_may_not_contradict_the_write_concern() {
    let w = "mongodb.write_concern.w";
    let journal = "mongodb.write_concern.journal";
    let lost = "found `false`, with which a crash of the server can lose acknowledged writes; remove it, or accept that by `mongodb.write_concern.journal` set to `false`";
    for (options, given, fault) in [
        ("w=majority", Some((w, json!(1))), "`mongodb.write_concern.w`: found `1`, but `mongodb.uri` says `w` is `majority`; remove one of the two".to_owned()),
        ("w=0", None, "`mongodb.uri` `w`: found `0`, with which the server acknowledges nothing and messages can be lost; expected at least `1`".to_owned()),
        ("W=-1", None, "`mongodb.uri` `w`: found `-1`, expected a whole number from 1 to 50, `majority` or the name of a custom write concern".to_owned()),
        ("journal=false", None, format!("`mongodb.uri` `journal`: {lost}")),
        ("Journal=false", None, format!("`mongodb.uri` `journal`: {lost}")),
        ("journal=no", None, "`mongodb.uri` `journal`: found `no`, expected `true` or `false`".to_owned()),
        ("journal=true", Some((journal, json!(false))), "`mongodb.write_concern.journal`: found `false`, but `mongodb.uri` says `journal` is `true`; remove one of the two".to_owned()),
        ("journal=false", Some((journal, json!(true))), "`mongodb.write_concern.journal`: found `true`, but `mongodb.uri` says `journal` is `false`; remove one of the two".to_owned()),
    ] {
        let uri = ("mongodb.uri", json!(format!("mongodb://a/?{options}")));
        let values: Vec<_> = given.into_iter().chain([uri]).collect();
        assert_eq!(faults_of(&values), [fault], "{options}");
    }
}
