//! The error messages for a faulty file or environment, and for several faults at once.

use super::{MINIMAL, load};

#[test]
fn a_path_written_as_one_name_is_not_the_key() {
    let faults = load(
        r#"{"kafka.topic": "x", "kafka": {"bootstrap_servers": "a"}, "mongodb": {"uri": "mongodb://a"}}"#,
        &[],
    );
    assert_eq!(
        faults.unwrap_err(),
        ["`kafka.topic`: unknown key: write the path as nested objects"]
    );
}

#[test]
fn a_key_given_twice_is_a_fault_at_any_depth() {
    let text = r#"{
        "kafka": {"bootstrap_servers": "a", "topic": "b", "topic": "b", "properties": {"client.id": "x", "client.id": "y"}},
        "mongodb": {"uri": "mongodb://a"},
        "mongodb": {"uri": "mongodb://b"}
    }"#;
    assert_eq!(
        load(text, &[]).unwrap_err(),
        [
            "`kafka.topic`: given more than once in the file; keep one",
            "`kafka.properties` `client.id`: given more than once; keep one",
            "`mongodb`: given more than once in the file; keep one",
        ]
    );
}

#[test]
fn all_faults_are_reported_together() {
    let text = r#"{"kafka": {"topic": "data", "dead_letter_topic": "data", "topik": 1}, "consumer": {"batch_size": 0}}"#;
    let env = [
        ("CONSUMER__METRICS__PORT", "http"),
        ("CONSUMER__KAFKA__TOPIK", "x"),
        ("HOME", "/"),
    ];
    assert_eq!(
        load(text, &env).unwrap_err(),
        [
            "`CONSUMER__METRICS__PORT`: found `http`, expected a whole number from 0 to 65535",
            "`CONSUMER__KAFKA__TOPIK`: unknown variable; did you mean `CONSUMER__KAFKA__TOPIC`?",
            "`kafka.topik`: unknown key; did you mean `kafka.topic`?",
            "`consumer.batch_size`: found `0`, expected a whole number from 1 to 100000",
            "`kafka.bootstrap_servers`: missing, expected `host:port`, or several of them separated by commas; put it into the file, or set `CONSUMER__KAFKA__BOOTSTRAP_SERVERS` to it, or `CONSUMER__KAFKA__BOOTSTRAP_SERVERS_FILE` to a file that holds it",
            "`mongodb.uri`: missing, expected a URI that begins with `mongodb://` or `mongodb+srv://`; put it into the file, or set `CONSUMER__MONGODB__URI` to it, or `CONSUMER__MONGODB__URI_FILE` to a file that holds it",
            "`kafka.dead_letter_topic`: the same as `kafka.topic`: dead letters would be read again, for ever; give it a topic of its own",
        ]
    );
}

#[test]
fn a_file_that_is_not_json_is_reported_with_line_and_column() {
    for (text, fault) in [
        (
            "{\n  \"kafka\": {,}\n}".as_bytes(),
            "not valid JSON at line 2, column 13: key must be a string",
        ),
        (
            b"",
            "not valid JSON at line 1, column 0: EOF while parsing a value",
        ),
        (
            b"{\"a\": \"\xff\"}",
            "not UTF-8 from byte 7 on; save it as UTF-8",
        ),
    ] {
        assert_eq!(load(text, &[]).unwrap_err(), [format!("FILE: {fault}")]);
    }
    assert_eq!(
        load("[]", &[]).unwrap_err(),
        ["FILE: found an array, expected an object of sections"]
    );
}

#[test]
fn a_faulty_variable_is_reported_by_its_name() {
    for (name, value, fault) in [
        (
            "CONSUMER__CONSUMER__BATCH_SIZE",
            "",
            "empty, expected a whole number from 1 to 100000; give it a value, or unset it",
        ),
        (
            "CONSUMER__CONSUMER__BATCH_SIZE",
            "+5",
            "found `+5`, expected a whole number from 1 to 100000",
        ),
        (
            "CONSUMER__CONSUMER__BATCH_SIZE_FILE",
            "x",
            "this key's value can't come from a file; set it without `_FILE`",
        ),
        (
            "CONSUMER__METRICS__ENABLED",
            "yes",
            "found `yes`, expected `true` or `false`",
        ),
        (
            "CONSUMER__KAFKA__PROPERTIES",
            "{",
            "not valid JSON, expected an object of librdkafka properties: EOF while parsing an object at line 1, column 1",
        ),
        (
            "CONSUMER__TOPIC",
            "x",
            "unknown variable; did you mean `CONSUMER__KAFKA__TOPIC`?",
        ),
        ("CONSUMER__ZZZ", "x", "unknown variable; unset it"),
        (
            "CONSUMER__MONGODB__URI_FILE",
            "/no/such/file",
            "can't read `/no/such/file`: No such file or directory (os error 2)",
        ),
    ] {
        let faults = load(MINIMAL, &[(name, value)]).unwrap_err();
        assert_eq!(faults, [format!("`{name}`: {fault}")]);
    }
    assert_eq!(
        load(MINIMAL, &[("CONSUMER__METRICS__PORT", "65536")]).unwrap_err(),
        [
            "`metrics.port` (from `CONSUMER__METRICS__PORT`): found `65536`, expected a whole number from 0 to 65535"
        ]
    );
    let both = [
        ("CONSUMER__MONGODB__URI", "mongodb://a"),
        ("CONSUMER__MONGODB__URI_FILE", "/x"),
    ];
    assert_eq!(
        load(MINIMAL, &both).unwrap_err(),
        [
            "`CONSUMER__MONGODB__URI`: set together with `CONSUMER__MONGODB__URI_FILE`; unset one of them"
        ]
    );
}
