use super::*;
use log::Level;
use log::kv::Source;
use serde_json::json;
use std::time::Duration;

const THREAD: &str = "writer-3";

type Format =
    fn(&mut Vec<u8>, Timestamp, &str, Option<&super::Source>, &Record<'_>) -> io::Result<()>;

fn line(format: Format, msg: &str, fields: &dyn Source) -> String {
    let mut out = Vec::new();
    let now = "2026-03-05T06:07:08.0129Z".parse().unwrap();
    format(
        &mut out,
        now,
        THREAD,
        None,
        &Record::builder()
            .level(Level::Warn)
            .target("core::\"x\"")
            .args(format_args!("{msg}"))
            .key_values(fields)
            .build(),
    )
    .unwrap();
    let out = String::from_utf8(out).unwrap();
    let line = out.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}

fn object(msg: &str, fields: &dyn Source) -> serde_json::Map<String, Value> {
    serde_json::from_str(&line(json, msg, fields)).unwrap()
}

#[test]
fn json_line_has_the_fixed_keys_in_order() {
    assert_eq!(
        line(json, "hello", &[("topic", "data-topic")]),
        r#"{"ts":"2026-03-05T06:07:08.012Z","level":"WARN","target":"core::\"x\"","thread":"writer-3","msg":"hello","topic":"data-topic"}"#
    );
}

#[test]
fn each_format_names_group_and_instance() {
    let source = super::Source {
        group: "a group".to_owned(),
        instance: "host-1".to_owned(),
    };
    let line = |format: Format| {
        let mut out = Vec::new();
        let now = "2026-03-05T06:07:08.0129Z".parse().unwrap();
        let record = Record::builder()
            .level(Level::Warn)
            .target("store")
            .args(format_args!("hello"))
            .key_values(&[("group", "mine"), ("topic", "orders")])
            .build();
        format(&mut out, now, THREAD, Some(&source), &record).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        line(json),
        concat!(
            r#"{"ts":"2026-03-05T06:07:08.012Z","level":"WARN","target":"store","thread":"writer-3","msg":"hello","#,
            r#""group":"a group","instance":"host-1","group_":"mine","topic":"orders"}"#,
            "\n"
        )
    );
    assert_eq!(
        line(text),
        "2026-03-05T06:07:08.012Z WARN  writer-3 store: hello group_=mine topic=orders group=\"a group\" instance=host-1\n"
    );
    let ecs: Value = serde_json::from_str(&line(ecs)).unwrap();
    let expected = json!({
        "@timestamp": "2026-03-05T06:07:08.012Z", "log.level": "warn", "message": "hello", "ecs.version": ECS_VERSION,
        "log.logger": "store", "process.thread.name": "writer-3", "service.name": "kafka-mongo-consumer",
        "service.version": env!("CARGO_PKG_VERSION"), "service.node.name": "host-1",
        "kafka_mongo_consumer": {"group": "a group", "group_": "mine", "topic": "orders"},
    });
    assert_eq!(ecs, expected);
}

#[test]
fn any_text_is_escaped_correctly_in_json() {
    for text in [
        "quote \" backslash \\",
        "two\nlines\r\n\ttab",
        "\0 \u{1} \u{1b}[31m \u{7f} \u{2028}",
        "ключ 🔑",
        "",
    ] {
        let object = object(text, &[("value", text), (text, "key")]);
        assert_eq!(object["msg"], text);
        assert_eq!(object["value"], text);
        assert_eq!(object[text], "key");
    }
}

#[test]
fn json_keeps_the_types_of_fields() {
    let error = io::Error::other("broken \"pipe\"");
    let partitions = [3, 5];
    let threads = ["writer-0", "a \"quoted\" name"];
    let fields: [(&str, kv::Value<'_>); 14] = [
        ("partition", 3_i32.into()),
        ("offset", i64::MIN.into()),
        ("size", u64::MAX.into()),
        ("wide", u128::MAX.into()),
        ("seconds", 0.25.into()),
        ("nan", f64::NAN.into()),
        ("paused", true.into()),
        ("letter", 'x'.into()),
        ("error", kv::Value::from_display(&error)),
        ("millis", Duration::from_millis(604).as_millis().into()),
        ("below", i128::from(i64::MIN).into()),
        ("partitions", kv::Value::from_debug(&partitions)),
        ("threads", kv::Value::from_debug(&threads)),
        ("text", "[1, 2]".into()),
    ];
    let object = object("m", &fields);
    assert_eq!(object["partition"], 3);
    assert_eq!(object["offset"], i64::MIN);
    assert_eq!(object["size"], u64::MAX);
    assert_eq!(object["wide"], u128::MAX.to_string());
    assert_eq!(object["seconds"], 0.25);
    assert_eq!(object["nan"], "NaN");
    assert_eq!(object["paused"], true);
    assert_eq!(object["letter"], "x");
    assert_eq!(object["error"], "broken \"pipe\"");
    assert_eq!(object["millis"], 604);
    assert_eq!(object["below"], i64::MIN);
    assert_eq!(object["partitions"], json!([3, 5]));
    assert_eq!(object["threads"], json!(["writer-0", "a \"quoted\" name"]));
    assert_eq!(object["text"], "[1, 2]");
}

#[test]
fn clashing_fields_get_underscores() {
    let fields = [("msg", "a"), ("msg", "b"), ("level", "c"), ("free", "d")];
    let object = object("m", &fields);
    assert_eq!(object["msg"], "m");
    assert_eq!(object["msg_"], "a");
    assert_eq!(object["msg__"], "b");
    assert_eq!(object["level"], "WARN");
    assert_eq!(object["level_"], "c");
    assert_eq!(object["free"], "d");
}

#[test]
fn text_line_is_one_line_with_quoted_fields() {
    let fields: [(&str, kv::Value<'_>); 4] = [
        ("topic", "data-topic".into()),
        ("offset", 42.into()),
        ("why", "no \"name\"".into()),
        ("empty", "".into()),
    ];
    assert_eq!(
        line(text, "refused\nforged line \u{1b}[2J", &fields),
        "2026-03-05T06:07:08.012Z WARN  writer-3 core::\"x\": refused\\nforged line \\u{1b}[2J \
         topic=data-topic offset=42 why=\"no \\\"name\\\"\" empty=\"\""
    );
}
