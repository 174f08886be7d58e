//! Proves what the worker promises: each record of a topic is a document in MongoDB, the same, or it is
//! in the dead letter topic, byte for byte.
//!
//! Reads both topics outside any group and changes nothing. It shares no code with the worker but the
//! names of the reasons: what it expects of a document is written here once more, on purpose.
//!
//! It does not judge whether a record *had* to be dead-lettered: compare the counts by reason with those
//! that the load generator expects.

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use kafka_mongo_consumer::Reason;
use mongodb::bson::{Bson, Document, doc};
use mongodb::sync::{Client, Collection};
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use support::{Connection, REQUEST_TIMEOUT, Result, partitions_of};

/// How many documents are asked for at once.
const CHUNK: usize = 1000;
/// How many problems are described; all are counted.
const DESCRIBED: usize = 20;
/// A topic that yields nothing for so long, without being at its end, can't be read.
const SILENCE: Duration = Duration::from_secs(30);

/// Prove that each record of a topic is in MongoDB or in the dead letter topic.
#[derive(Debug, Parser)]
#[command(name = "verify")]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic that the worker consumes.
    #[arg(long, default_value = "data-topic")]
    topic: String,
    /// The dead letter topic; it may be missing if nothing is in it.
    #[arg(long, default_value = "dead-letter-topic")]
    dead_letter_topic: String,
    /// MongoDB; by default what is in `MONGODB_URI`.
    #[arg(long, value_name = "URI")]
    mongodb: Option<String>,
    /// The database.
    #[arg(long, default_value = "pubsub_data")]
    database: String,
    /// The collection.
    #[arg(long, default_value = "messages")]
    collection: String,
    /// The worker's consumer group, whose lag is looked up.
    #[arg(long, default_value = "data-consumer-group")]
    group: String,
    /// Wait up to so many seconds until the group has no lag.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,
    /// Fail if the topic holds another number of records.
    #[arg(long, value_name = "COUNT")]
    expect_records: Option<u64>,
    /// Fail if there is a lag.
    #[arg(long)]
    expect_no_lag: bool,
    /// A record may be in both places, as after an outage of MongoDB under `dead_letter`.
    #[arg(long)]
    allow_both: bool,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            report.print(arguments.json);
            ExitCode::from(u8::from(!report.is_good(&arguments)))
        }
        Err(error) => {
            eprintln!("verify: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let uri = arguments
        .mongodb
        .clone()
        .or_else(|| std::env::var("MONGODB_URI").ok())
        .ok_or("where is MongoDB? give --mongodb or set MONGODB_URI")?;
    let documents: Collection<Document> = Client::with_uri_str(uri)?
        .database(&arguments.database)
        .collection(&arguments.collection);

    let lag = await_lag(arguments)?;
    let dead_letters = read_dead_letters(arguments)?;
    let mut audit = Audit::new(&documents, &dead_letters);
    read_topic(arguments, &arguments.topic, |message| audit.take(message))?;
    audit.finish(lag)
}

// --- Kafka ---------------------------------------------------------------------------------------

fn consumer(arguments: &Arguments, group: &str) -> Result<BaseConsumer> {
    Ok(arguments
        .connection
        .client_config(&[
            // Nothing is subscribed to and nothing committed, so that no group comes into being.
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("fetch.message.max.bytes", "67108864"),
            ("fetch.max.bytes", "134217728"),
            ("queued.max.messages.kbytes", "131072"),
        ])?
        .create()?)
}

/// Hands every record of a topic to `each`, from what is left of it to where its partitions end now.
fn read_topic(
    arguments: &Arguments,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<()> {
    let consumer = consumer(arguments, "kafka-mongo-consumer-verify")?;
    let mut unread: HashSet<i32> = partitions_of(consumer.client(), topic)?
        .into_iter()
        .collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &unread {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while !unread.is_empty() {
        match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => {
                // A partition that was read to its end may have grown since; that is of no interest.
                if unread.contains(&message.partition()) {
                    each(&message)?;
                }
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
                heard = Instant::now();
            }
            Some(Err(error)) if heard.elapsed() > SILENCE => {
                return Err(format!("could not read `{topic}`: {error}").into());
            }
            None if heard.elapsed() > SILENCE => {
                return Err(format!("could not read `{topic}`: no end of it in sight").into());
            }
            // Connection errors heal, or the silence ends it.
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

/// The group's lag over all partitions of the topic, waited for to become zero. A transaction's marker
/// counts as a record that the group has to pass.
fn await_lag(arguments: &Arguments) -> Result<i64> {
    let consumer = consumer(arguments, &arguments.group)?;
    let deadline = Instant::now() + Duration::from_secs(arguments.wait);
    loop {
        let lag = lag(arguments, &consumer)?;
        if lag == 0 || Instant::now() >= deadline {
            return Ok(lag);
        }
        // Nothing is assigned, so this only waits.
        let _nothing = consumer.poll(Duration::from_millis(200));
    }
}

fn lag(arguments: &Arguments, consumer: &BaseConsumer) -> Result<i64> {
    let topic = &arguments.topic;
    let partitions = partitions_of(consumer.client(), topic)?;
    if partitions.is_empty() {
        return Err(format!("there is no topic `{topic}`").into());
    }
    let mut wanted = TopicPartitionList::new();
    for partition in partitions {
        wanted.add_partition(topic, partition);
    }
    let mut lag = 0;
    for element in consumer
        .committed_offsets(wanted, REQUEST_TIMEOUT)?
        .elements()
    {
        let (low, high) = consumer.fetch_watermarks(topic, element.partition(), REQUEST_TIMEOUT)?;
        let committed = element.offset().to_raw().filter(|offset| *offset >= 0);
        lag += high - committed.unwrap_or(low).max(low);
    }
    Ok(lag)
}

// --- dead letters --------------------------------------------------------------------------------

/// A record's place in the consumed topic.
type Place = (i32, i64);

struct DeadLetter {
    reason: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

#[derive(Default)]
struct DeadLetters {
    /// More than one for a place where a crash repeated it.
    by_place: HashMap<Place, Vec<DeadLetter>>,
    /// Without our headers, or of another topic.
    foreign: u64,
}

fn read_dead_letters(arguments: &Arguments) -> Result<DeadLetters> {
    let mut dead_letters = DeadLetters::default();
    read_topic(arguments, &arguments.dead_letter_topic, |message| {
        let mut headers: HashMap<&str, &str> = HashMap::new();
        for header in message.headers().into_iter().flat_map(|all| all.iter()) {
            if let Some(value) = header.value.and_then(|value| str::from_utf8(value).ok()) {
                headers.insert(header.key, value);
            }
        }
        let place = || -> Option<Place> {
            if *headers.get("dlq.topic")? != arguments.topic {
                return None;
            }
            let partition = headers.get("dlq.partition")?.parse().ok()?;
            let offset = headers.get("dlq.offset")?.parse().ok()?;
            Some((partition, offset))
        };
        match place() {
            Some(place) => {
                let reason = (*headers.get("dlq.reason").unwrap_or(&"")).to_owned();
                dead_letters
                    .by_place
                    .entry(place)
                    .or_default()
                    .push(DeadLetter {
                        reason,
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                    });
            }
            None => dead_letters.foreign += 1,
        }
        Ok(())
    })?;
    Ok(dead_letters)
}

// --- the audit -----------------------------------------------------------------------------------

/// A record that should be in MongoDB, or that, being dead-lettered, should not.
struct Candidate {
    place: Place,
    id: String,
    json: Value,
    dead_lettered: bool,
}

struct Audit<'a> {
    documents: &'a Collection<Document>,
    dead_letters: &'a DeadLetters,
    waiting: Vec<Candidate>,
    /// Of documents that records of the topic led to, be they right or altered.
    expected_ids: HashSet<String>,
    dead_letters_met: u64,
    report: Report,
}

impl<'a> Audit<'a> {
    fn new(documents: &'a Collection<Document>, dead_letters: &'a DeadLetters) -> Self {
        Self {
            documents,
            dead_letters,
            waiting: Vec::new(),
            expected_ids: HashSet::new(),
            dead_letters_met: 0,
            report: Report::default(),
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let place = (message.partition(), message.offset());
        self.report.records += 1;
        let json = message
            .payload()
            .and_then(|payload| serde_json::from_slice::<Value>(payload).ok());
        let id = json
            .as_ref()
            .and_then(|json| Some(json.get("message_id")?.as_str()?.to_owned()));

        let letters = self.dead_letters.by_place.get(&place);
        if let Some(letters) = letters {
            self.judge_dead_letters(place, message, letters);
        }
        match (id, json) {
            (Some(id), Some(json)) => self.waiting.push(Candidate {
                place,
                id,
                json,
                dead_lettered: letters.is_some(),
            }),
            _ if letters.is_none() => {
                self.report.missing += 1;
                self.report
                    .describe(place, "can't be stored, and is not dead-lettered");
            }
            _ => {}
        }
        if self.waiting.len() >= CHUNK {
            self.look_up()?;
        }
        Ok(())
    }

    fn judge_dead_letters(
        &mut self,
        place: Place,
        message: &BorrowedMessage<'_>,
        letters: &[DeadLetter],
    ) {
        self.dead_letters_met += letters.len() as u64;
        self.report.dead_letter_duplicates += letters.len() as u64 - 1;
        let reason = &letters[0].reason;
        *self.report.dead_lettered.entry(reason.clone()).or_default() += 1;
        if Reason::ALL.iter().all(|known| known.as_str() != reason) {
            self.report.altered += 1;
            self.report.describe(
                place,
                &format!("dead-lettered for no known reason: `{reason}`"),
            );
        } else if letters.iter().any(|letter| {
            letter.value.as_deref() != message.payload() || letter.key.as_deref() != message.key()
        }) {
            self.report.altered += 1;
            self.report
                .describe(place, "the dead letter's value or key is another");
        }
    }

    /// Compares what is waiting with what MongoDB has.
    fn look_up(&mut self) -> Result<()> {
        let ids: HashSet<&str> = self.waiting.iter().map(|one| &*one.id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut found: HashMap<String, Document> = HashMap::new();
        for document in self.documents.find(doc! { "_id": { "$in": ids } }).run()? {
            let document = document?;
            found.insert(document.get_str("_id")?.to_owned(), document);
        }
        for candidate in std::mem::take(&mut self.waiting) {
            let difference = match found.get(&candidate.id) {
                Some(document) => difference(&candidate, document),
                None => Some(String::from("is neither in MongoDB nor dead-lettered")),
            };
            let place = candidate.place;
            match (difference, candidate.dead_lettered) {
                (None, false) => {
                    self.report.stored += 1;
                    self.expected_ids.insert(candidate.id);
                }
                (None, true) => {
                    self.report.both += 1;
                    self.report
                        .describe(place, "is in MongoDB and dead-lettered, too");
                    self.expected_ids.insert(candidate.id);
                }
                // A dead letter that isn't in MongoDB, or whose `_id` another document has.
                (Some(_), true) => {}
                (Some(difference), false) => {
                    if found.contains_key(&candidate.id) {
                        self.report.altered += 1;
                        self.expected_ids.insert(candidate.id);
                    } else {
                        self.report.missing += 1;
                    }
                    self.report.describe(place, &difference);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, lag: i64) -> Result<Report> {
        self.look_up()?;
        let letters: usize = self.dead_letters.by_place.values().map(Vec::len).sum();
        let mut report = self.report;
        report.documents = self.documents.count_documents(doc! {}).run()?;
        report.extra_documents = report
            .documents
            .saturating_sub(self.expected_ids.len() as u64);
        report.foreign_dead_letters =
            self.dead_letters.foreign + letters as u64 - self.dead_letters_met;
        report.lag = lag;
        Ok(report)
    }
}

// --- what a document must be ---------------------------------------------------------------------

/// `_id`, then the message's fields in their order, then `received_at`; `None` if that is so.
fn difference(candidate: &Candidate, document: &Document) -> Option<String> {
    let Value::Object(fields) = &candidate.json else {
        return Some(String::from("isn't an object, yet in MongoDB"));
    };
    let mut entries = document.iter();
    if entries.next().is_none_or(|(name, _)| name != "_id") {
        return Some(String::from("the document doesn't begin with `_id`"));
    }
    // An `_id` in the message equals the `message_id`, else it would have been dead-lettered.
    for (name, value) in fields.iter().filter(|(name, _)| *name != "_id") {
        match entries.next() {
            Some((stored, bson)) if stored == name => {
                if !same(value, bson) {
                    return Some(format!("field `{name}` has another value in MongoDB"));
                }
            }
            _ => {
                return Some(format!(
                    "field `{name}` is missing, or elsewhere, in MongoDB"
                ));
            }
        }
    }
    match (entries.next(), entries.next()) {
        (Some((name, Bson::String(text))), None)
            if name == "received_at"
                && text.ends_with('Z')
                && text.parse::<jiff::Timestamp>().is_ok() =>
        {
            None
        }
        _ => Some(String::from(
            "the document doesn't end with one `received_at`",
        )),
    }
}

fn same(json: &Value, bson: &Bson) -> bool {
    match (json, bson) {
        (Value::Null, Bson::Null) => true,
        (Value::Bool(json), Bson::Boolean(bson)) => json == bson,
        (Value::String(json), Bson::String(bson)) => json == bson,
        (Value::Number(json), Bson::Int32(bson)) => json.as_i64() == Some(i64::from(*bson)),
        (Value::Number(json), Bson::Int64(bson)) => {
            json.as_i64() == Some(*bson) && i32::try_from(*bson).is_err()
        }
        // Bit for bit: -0.0 is not 0.0.
        (Value::Number(json), Bson::Double(bson)) => {
            json.is_f64() && json.as_f64().map(f64::to_bits) == Some(bson.to_bits())
        }
        (Value::Array(json), Bson::Array(bson)) => {
            json.len() == bson.len() && json.iter().zip(bson).all(|(json, bson)| same(json, bson))
        }
        (Value::Object(json), Bson::Document(bson)) => {
            json.len() == bson.len()
                && json
                    .iter()
                    .zip(bson)
                    .all(|((json_name, json), (bson_name, bson))| {
                        json_name == bson_name && same(json, bson)
                    })
        }
        _ => false,
    }
}

// --- the report ----------------------------------------------------------------------------------

#[derive(Debug, Default, serde::Serialize)]
struct Report {
    /// In the consumed topic.
    records: u64,
    /// Of these, those that are in MongoDB, the same.
    stored: u64,
    /// Of these, those that are in the dead letter topic, by reason.
    dead_lettered: BTreeMap<String, u64>,
    /// Of these, those that are in neither place.
    missing: u64,
    /// In one of the two places, but not the same.
    altered: u64,
    /// In both places.
    both: u64,
    /// Dead letters beyond the first one of a record.
    dead_letter_duplicates: u64,
    /// Dead letters of no record that the topic holds.
    foreign_dead_letters: u64,
    documents: u64,
    /// Documents of no record that the topic holds.
    extra_documents: u64,
    /// End offsets less the group's committed ones.
    lag: i64,
    problems: Vec<String>,
}

impl Report {
    fn describe(&mut self, (partition, offset): Place, problem: &str) {
        if self.problems.len() < DESCRIBED {
            self.problems
                .push(format!("partition {partition}, offset {offset}: {problem}"));
        }
    }

    fn is_good(&self, arguments: &Arguments) -> bool {
        self.missing == 0
            && self.altered == 0
            && (self.both == 0 || arguments.allow_both)
            && (self.lag == 0 || !arguments.expect_no_lag)
            && arguments
                .expect_records
                .is_none_or(|count| count == self.records)
    }

    fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        let dead_lettered: u64 = self.dead_lettered.values().sum();
        let row = |name: &str, count: &dyn std::fmt::Display| println!("{name:<26}{count:>12}");
        row("records", &self.records);
        row("stored", &self.stored);
        row("dead-lettered", &dead_lettered);
        for (reason, count) in &self.dead_lettered {
            row(&format!("  {reason}"), count);
        }
        row("missing", &self.missing);
        row("altered", &self.altered);
        row("in both places", &self.both);
        row("repeated dead letters", &self.dead_letter_duplicates);
        row("other dead letters", &self.foreign_dead_letters);
        row("other documents", &self.extra_documents);
        row("lag", &self.lag);
        for problem in &self.problems {
            println!("{problem}");
        }
    }
}
