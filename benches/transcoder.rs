//! Benchmarks turning a JSON message into raw BSON: by the transcoder, and by the obvious way through a
//! `bson::Document`. Throughput is in bytes of JSON.

use std::fmt::Write as _;
use std::time::SystemTime;

use bson::Document;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kafka_mongo_consumer::per_record::{Documents, MAX_LEVELS, ReceivedAt};

/// A message as producers send it.
const EXAMPLE: &str = r#"{"message_id":"550e8400-e29b-41d4-a716-446655440000","name":"Test Message","created_at":"2023-07-15T12:34:56.789Z","metadata":{"source":"api","version":"1.0","priority":1}}"#;

/// Levels of the deep message's `metadata`: the most that are allowed, because the document itself is one
/// level more.
const DEEP: u8 = MAX_LEVELS - 1;

fn transcoder(criterion: &mut Criterion) {
    let received_at = ReceivedAt::new(SystemTime::now());
    let mut group = criterion.benchmark_group("transcoder");
    for (name, message) in [
        ("example", EXAMPLE.to_owned()),
        ("nested_1kB", with_metadata(&objects(9))),
        ("numbers_10kB", with_metadata(&numbers(1_150))),
        ("mixed_100kB", with_metadata(&mixed(87))),
        ("escapes_1kB", with_metadata(&escapes(19))),
        ("deep_100_levels", with_metadata(&deep(DEEP))),
    ] {
        group.throughput(bytes(&message));
        let mut documents = Documents::default();
        group.bench_function(format!("{name}/ours"), |bencher| {
            bencher.iter(|| {
                documents.clear();
                documents
                    .push(0, Some(message.as_bytes()), &received_at)
                    .expect("the message is valid");
            });
        });
        group.bench_function(format!("{name}/through_document"), |bencher| {
            bencher.iter(|| {
                let document: Document =
                    serde_json::from_slice(message.as_bytes()).expect("the message is valid");
                bson::serialize_to_vec(&document).expect("a document is BSON")
            });
        });
    }
    for (name, message) in [
        ("missing_field", EXAMPLE.replace("\"name\"", "\"nome\"")),
        ("nested_name_twice", EXAMPLE.replace("version", "source")),
        ("cut_off", EXAMPLE[..EXAMPLE.len() - 1].to_owned()),
    ] {
        group.throughput(bytes(&message));
        let mut documents = Documents::default();
        group.bench_function(format!("rejected/{name}"), |bencher| {
            bencher.iter(|| {
                documents
                    .push(0, Some(message.as_bytes()), &received_at)
                    .expect_err("the message is at fault")
            });
        });
    }
    group.finish();
}

fn bytes(message: &str) -> Throughput {
    Throughput::Bytes(message.len().try_into().expect("a message is small"))
}

/// The example with other fields in `metadata`.
fn with_metadata(fields: &str) -> String {
    let (head, _) = EXAMPLE
        .split_once("\"source\"")
        .expect("the example has a source");
    format!("{head}{fields}}}}}")
}

/// Fields with small objects, about 100 bytes each.
fn objects(count: usize) -> String {
    fields(count, |index| {
        format!(
            r#""item{index}":{{"sku":"A-{index:05}","quantity":{index},"price":19.95,"gift":false,"from":{{"city":"Bern","zip":"3011"}}}}"#
        )
    })
}

/// A field with an array of alternating integers and doubles, about 9 bytes each.
fn numbers(count: usize) -> String {
    let items = fields(count, |index| {
        if index % 2 == 0 {
            format!("{}", 1_000_000 + index * 7919)
        } else {
            format!("{}.{:03}", 1000 + index, index * 37 % 1000)
        }
    });
    format!(r#""samples":[{items}]"#)
}

/// Fields with long texts, objects and arrays of numbers, about 1.2 kB each.
fn mixed(count: usize) -> String {
    fields(count, |index| {
        let text = "Lorem ipsum dolor sit amet. ".repeat(15);
        format!(
            r#""part{index}":{{"text":"{text}","objects":{{{}}},{}}}"#,
            objects(3),
            numbers(45)
        )
    })
}

/// Fields with texts full of escapes, about 40 bytes each.
fn escapes(count: usize) -> String {
    fields(count, |index| {
        format!(r#""line{index}":"\"\u00e4\u20ac\"\t\\n\ud83d\ude00\r\n""#)
    })
}

/// Objects nested in each other, `levels` deep.
fn deep(levels: u8) -> String {
    let nested = usize::from(levels) - 1;
    format!(
        "{}1{}",
        "\"a\":{".repeat(nested) + "\"a\":",
        "}".repeat(nested)
    )
}

/// The fields of an object, or the items of an array, separated by commas.
fn fields(count: usize, field: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut fields, index| {
        let separator = if index == 0 { "" } else { "," };
        write!(fields, "{separator}{}", field(index)).expect("a `String` takes all");
        fields
    })
}

criterion_group!(benches, transcoder);
criterion_main!(benches);
