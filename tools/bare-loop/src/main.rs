//! The ceiling: the smallest program that does the worker's main job. The benchmark compares the worker with it.
//!
//! It polls, transcodes with the worker's own transcoder, inserts raw documents unordered with the same
//! librdkafka and driver settings, the same number of writers and the same write concern, and commits. It has
//! no dead letters, no retries, no rebalances and no metrics. Where anything fails it stops with a panic, and
//! messages may be lost. It prints the time, CPU time and memory that it took as one line of JSON.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use bson::RawDocument;
use clap::Parser;
use crossbeam_channel::{Receiver, bounded};
use kafka_mongo_consumer::per_record::{Documents, MessageParts, MessageRules, ReceivedAt};
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::sync::{Client, Collection};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Move a topic into MongoDB as fast as the libraries allow.
#[derive(Debug, Parser)]
#[command(name = "bare-loop")]
struct Arguments {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    brokers: String,
    /// Where MongoDB is.
    #[arg(long)]
    mongodb: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    database: String,
    /// Stop after so many messages.
    #[arg(long)]
    count: u64,
    #[arg(long, default_value_t = 100)]
    batch_size: usize,
    #[arg(long, default_value_t = 8)]
    writers: usize,
}

/// The values of one batch in one buffer.
#[derive(Default)]
struct Batch {
    buffer: Vec<u8>,
    ends: Vec<usize>,
    /// The next offset of each partition after this batch.
    next: HashMap<i32, i64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare-loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", &arguments.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.max.bytes", "1048576")
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", "4096")
        .set("check.crcs", "true")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()?;
    consumer.subscribe(&[&arguments.topic])?;
    let client = client(arguments)?;
    let (batches, to_write) = bounded::<Batch>(arguments.writers);
    let (done, ends) = bounded::<HashMap<i32, i64>>(arguments.writers * 2);
    let started = Instant::now();
    let mut first = None;
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..arguments.writers {
            let (to_write, done, client) = (to_write.clone(), done.clone(), client.clone());
            let database = &arguments.database;
            scope.spawn(move || {
                write(&to_write, &client, database, |next| done.send(next).is_ok());
            });
        }
        drop(done);
        let mut taken = 0;
        let mut batch = Batch::default();
        let mut committed: HashMap<i32, i64> = HashMap::new();
        let mut since_commit = 0;
        while taken < arguments.count {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                let message = message?;
                first.get_or_insert_with(Instant::now);
                batch
                    .buffer
                    .extend_from_slice(message.payload().unwrap_or_default());
                batch.ends.push(batch.buffer.len());
                batch.next.insert(message.partition(), message.offset() + 1);
                taken += 1;
            }
            if batch.ends.len() >= arguments.batch_size || taken == arguments.count {
                since_commit += batch.ends.len();
                batches.send(std::mem::take(&mut batch))?;
            }
            for next in ends.try_iter() {
                committed.extend(next);
            }
            if since_commit >= 1000 && !committed.is_empty() {
                since_commit = 0;
                commit(&consumer, &arguments.topic, &committed, CommitMode::Async)?;
            }
        }
        drop(batches);
        for next in &ends {
            committed.extend(next);
        }
        commit(&consumer, &arguments.topic, &committed, CommitMode::Sync)?;
        Ok(())
    })?;
    let seconds = first.unwrap_or(started).elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({ "messages": arguments.count, "seconds": seconds,
                            "cpu_seconds": cpu_seconds(), "peak_rss_kib": peak_rss_kib() })
    );
    Ok(())
}

fn client(arguments: &Arguments) -> Result<Client> {
    let mut options = ClientOptions::parse(&arguments.mongodb).run()?;
    options.max_pool_size = Some(u32::try_from(arguments.writers)? + 2);
    options.write_concern = Some(
        WriteConcern::builder()
            .w(mongodb::options::Acknowledgment::Nodes(1))
            .journal(true)
            .build(),
    );
    Ok(Client::with_options(options)?)
}

fn write(
    batches: &Receiver<Batch>,
    client: &Client,
    database: &str,
    done: impl Fn(HashMap<i32, i64>) -> bool,
) {
    let collection: Collection<&RawDocument> = client.database(database).collection("messages");
    // A new session for each insert would cost a tenth of the CPU time.
    let session = client.start_session().causal_consistency(false).run();
    let mut session = session.expect("invariant: a session starts without asking a server");
    let rules = MessageRules::default();
    let mut documents = Documents::default();
    for batch in batches {
        documents.clear();
        let received_at = ReceivedAt::new(SystemTime::now());
        let mut start = 0;
        for (index, &end) in batch.ends.iter().enumerate() {
            let parts = MessageParts::of_value(Some(&batch.buffer[start..end]));
            let made = documents.push(index, &parts, &rules, &received_at);
            made.expect("the bare loop takes valid messages only");
            start = end;
        }
        let indexes: Vec<usize> = documents.indexes().collect();
        let raw: Vec<&RawDocument> = documents.get_all(&indexes);
        collection
            .insert_many(raw)
            .ordered(false)
            .session(&mut session)
            .run()
            .expect("the bare loop handles no errors");
        if !done(batch.next) {
            return;
        }
    }
}

fn commit(
    consumer: &BaseConsumer,
    topic: &str,
    next: &HashMap<i32, i64>,
    mode: CommitMode,
) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for (&partition, &offset) in next {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(consumer.commit(&list, mode)?)
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Counted from after the name in parentheses, user and system time are the 12th and 13th field, in ticks of
    // 10 ms.
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
