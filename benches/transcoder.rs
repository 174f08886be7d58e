//! From a JSON message to raw BSON: by the transcoder, and for comparison through a `bson::Document`.
//! Throughput is in bytes of JSON.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use bson::Document;
use divan::Bencher;
use divan::counter::BytesCount;
use kafka_mongo_consumer::per_record::{
    Documents, IdSource, JsonSchema, MAX_LEVELS, MessageParts, MessageRules, MessageSchema,
    ReceivedAt,
};

mod own_messages;

use own_messages::Example;

/// As producers send it.
const EXAMPLE: &str = r#"{"message_id":"550e8400-e29b-41d4-a716-446655440000","name":"Test Message","created_at":"2023-07-15T12:34:56.789Z","metadata":{"source":"api","version":"1.0","priority":1}}"#;

/// Levels of the deep message's `metadata`: with the document itself, as many as are allowed.
const DEEP: u8 = MAX_LEVELS - 1;

fn main() {
    divan::main();
}

struct Case {
    name: &'static str,
    json: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn cases<const COUNT: usize>(cases: [(&'static str, String); COUNT]) -> [Case; COUNT] {
    cases.map(|(name, json)| Case { name, json })
}

fn valid() -> impl IntoIterator<Item = Case> {
    cases([
        ("example", EXAMPLE.to_owned()),
        ("nested, 1 kB", with_metadata(&objects(9))),
        ("numbers, 10 kB", with_metadata(&numbers(1_150))),
        ("mixed, 100 kB", with_metadata(&mixed(87))),
        ("escapes, 1 kB", with_metadata(&escapes(19))),
        ("deep, 100 levels", with_metadata(&deep(DEEP))),
    ])
}

fn faulty() -> impl IntoIterator<Item = Case> {
    cases([
        ("missing field", EXAMPLE.replace("\"name\"", "\"nome\"")),
        ("nested name twice", EXAMPLE.replace("version", "source")),
        ("cut off", EXAMPLE[..EXAMPLE.len() - 1].to_owned()),
    ])
}

#[divan::bench(args = valid())]
fn transcoder(bencher: Bencher<'_, '_>, case: &Case) {
    let received_at = ReceivedAt::new(SystemTime::now());
    let rules = MessageRules::default();
    let mut documents = Documents::default();
    bencher
        .counter(BytesCount::of_str(&case.json))
        .bench_local(|| {
            documents.clear();
            documents
                .push(0, &parts(case), &rules, &received_at)
                .expect("the message is valid");
        });
}

/// Any JSON object, with its field `id` as its id.
#[divan::bench(args = &own_messages::MESSAGES)]
fn own_id(bencher: Bencher<'_, '_>, message: &Example) {
    let rules = MessageRules::new(MessageSchema::Any, field_id());
    under(&rules, bencher, message);
}

/// Any JSON object, with its place as its id.
#[divan::bench(args = &own_messages::MESSAGES)]
fn own_position(bencher: Bencher<'_, '_>, message: &Example) {
    let topic = "data-topic".to_owned();
    let rules = MessageRules::new(MessageSchema::Any, IdSource::Position { topic });
    under(&rules, bencher, message);
}

/// What a JSON Schema accepts, with the field `id` as its id.
#[divan::bench(args = &own_messages::MESSAGES)]
fn own_schema(bencher: Bencher<'_, '_>, message: &Example) {
    let schema = JsonSchema::compile(message.schema).expect("the schema is valid");
    let schema = MessageSchema::JsonSchema(Box::new(schema));
    under(&MessageRules::new(schema, field_id()), bencher, message);
}

#[divan::bench(args = valid())]
fn through_document(bencher: Bencher<'_, '_>, case: &Case) {
    bencher
        .counter(BytesCount::of_str(&case.json))
        .bench_local(|| {
            let document: Document =
                serde_json::from_slice(case.json.as_bytes()).expect("the message is valid");
            bson::serialize_to_vec(&document).expect("a document is BSON")
        });
}

#[divan::bench(args = faulty())]
fn rejected(bencher: Bencher<'_, '_>, case: &Case) {
    let received_at = ReceivedAt::new(SystemTime::now());
    let rules = MessageRules::default();
    let mut documents = Documents::default();
    bencher
        .counter(BytesCount::of_str(&case.json))
        .bench_local(|| {
            documents
                .push(0, &parts(case), &rules, &received_at)
                .expect_err("the message is faulty")
        });
}

fn field_id() -> IdSource {
    IdSource::Field(vec!["id".to_owned()])
}

fn under(rules: &MessageRules, bencher: Bencher<'_, '_>, message: &Example) {
    let received_at = ReceivedAt::new(SystemTime::now());
    // As producers send it: without white space.
    let json: serde_json::Value = serde_json::from_str(message.json).expect("it is JSON");
    let json = json.to_string();
    let parts = MessageParts::of_value(Some(json.as_bytes()));
    let mut documents = Documents::default();
    bencher.counter(BytesCount::of_str(&json)).bench_local(|| {
        documents.clear();
        documents
            .push(0, &parts, rules, &received_at)
            .expect("the message is valid");
    });
}

fn parts(case: &Case) -> MessageParts<'_> {
    MessageParts::of_value(Some(case.json.as_bytes()))
}

/// The example with other `metadata`: the fields of an object.
fn with_metadata(fields: &str) -> String {
    let (head, _) = EXAMPLE
        .split_once("\"source\"")
        .expect("the example has a source");
    format!("{head}{fields}}}}}")
}

/// Each about 100 bytes.
fn objects(count: usize) -> String {
    fields(count, |index| {
        format!(
            r#""item{index}":{{"sku":"A-{index:05}","quantity":{index},"price":19.95,"gift":false,"from":{{"city":"Bern","zip":"3011"}}}}"#
        )
    })
}

/// Integers and doubles in turn, each about 9 bytes.
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

/// Objects, arrays of numbers and long texts, each about 1.2 kB.
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

/// Each about 40 bytes.
fn escapes(count: usize) -> String {
    fields(count, |index| {
        format!(r#""line{index}":"\"\u00e4\u20ac\"\t\\n\ud83d\ude00\r\n""#)
    })
}

fn deep(levels: u8) -> String {
    let nested = usize::from(levels) - 1;
    format!(
        "{}1{}",
        "\"a\":{".repeat(nested) + "\"a\":",
        "}".repeat(nested)
    )
}

/// Fields of an object, or items of an array.
fn fields(count: usize, field: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut fields, index| {
        let separator = if index == 0 { "" } else { "," };
        write!(fields, "{separator}{}", field(index)).expect("a `String` takes all");
        fields
    })
}
