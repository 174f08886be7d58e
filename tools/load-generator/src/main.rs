//! Fills a topic with messages, valid and faulty ones, the same for the same seed.
//!
//! It shares no code with the worker, so that it can say independently which messages must be dead-lettered,
//! and for which reason. Progress goes to standard error; standard output has one line of JSON at the end.
//! The exit code is 0 only if Kafka acknowledged every message.

mod connection;
mod deliveries;
mod messages;
mod pace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use connection::{Connection, Result};
use deliveries::Deliveries;
use messages::Plan;
use pace::{Pace, ProgressReport, per_second};

/// Fill a Kafka topic with messages for the worker.
#[derive(Debug, Parser)]
#[command(name = "load-generator")]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic; it is created if it doesn't exist.
    #[arg(long, default_value = "data-topic")]
    topic: String,
    /// How many partitions it gets; an existing topic must have as many. [default: 6]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many messages to send in all, faulty ones included.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Messages per second; 0 is as fast as possible.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How many of the messages are faulty; the kinds of faults take turns.
    #[arg(long, default_value_t = 0, conflicts_with = "bad_ratio")]
    bad: u64,
    /// The same as a share, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    bad_ratio: f64,
    /// One of the faulty kinds is a document of more than 16 MiB.
    #[arg(long)]
    huge: bool,
    /// Another seed makes other messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fill valid messages up to so many bytes; they have about 167 by themselves.
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    size: usize,
    /// What each `message_id` begins with.
    #[arg(long, default_value = "")]
    id_prefix: String,
    /// Give each record its `message_id` as key, which then decides on the partition; without keys
    /// the partitions take turns.
    #[arg(long)]
    keys: bool,
    /// Keep the number of acknowledged messages in this file, for a program that shows it.
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load-generator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether Kafka acknowledged every message.
fn run(arguments: &Arguments) -> Result<bool> {
    let plan = plan(arguments)?;
    let connection = &arguments.connection;
    let partitions = connection.prepare_topic(&arguments.topic, arguments.partitions)?;
    let producer: BaseProducer<Deliveries> = connection
        .client_config(&[
            ("acks", "all"),
            // A retry of librdkafka must not put a message there twice: the count would be wrong.
            ("enable.idempotence", "true"),
            ("linger.ms", "10"),
            ("message.max.bytes", "67108864"),
            ("message.timeout.ms", "60000"),
            ("queue.buffering.max.kbytes", "131072"),
            ("queue.buffering.max.messages", "200000"),
        ])?
        .create_with_context(Deliveries::default())?;

    let mut progress = ProgressReport::new(plan.count, arguments.progress.as_deref());
    let expected = produce(arguments, &plan, &partitions, &producer, &mut progress)?;

    let deliveries = producer.context();
    if let Some(failure) = deliveries.first_failure() {
        eprintln!(
            "load-generator: {} messages were not acknowledged; the first one: {failure}",
            deliveries.failed()
        );
    }
    let acknowledged = deliveries.acknowledged();
    progress.finish(acknowledged)?;
    let faulty: u64 = expected.values().sum();
    let seconds = progress.seconds();
    let summary = serde_json::json!({
        "topic": arguments.topic,
        "produced": acknowledged,
        "failed": plan.count - acknowledged,
        "valid": plan.count - faulty,
        "bad": faulty,
        "bad_by_reason": expected,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "rate": per_second(acknowledged, seconds),
    });
    println!("{summary}");
    Ok(acknowledged == plan.count)
}

/// Sends all messages and waits for their delivery reports. Returns how many messages must be dead-lettered,
/// by reason.
fn produce(
    arguments: &Arguments,
    plan: &Plan,
    partitions: &[i32],
    producer: &BaseProducer<Deliveries>,
    progress: &mut ProgressReport,
) -> Result<BTreeMap<&'static str, u64>> {
    let pace = Pace::new(arguments.rate);
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for index in 0..plan.count {
        let message = plan.message(index);
        if let Some(fault) = message.fault {
            *expected.entry(fault.reason()).or_default() += 1;
        }
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&arguments.topic);
        if let Some(payload) = &message.payload {
            record = record.payload(payload);
        }
        if arguments.keys {
            record = record.key(&message.id);
        } else {
            let turn = usize::try_from(index % partitions.len() as u64)?;
            record = record.partition(partitions[turn]);
        }
        send(producer, record)?;

        let wait = pace.wait_after(index + 1);
        if !wait.is_zero() || index % 256 == 0 {
            producer.poll(wait);
            progress.report(producer.context().acknowledged())?;
        }
        if producer.context().failed() > 0 {
            break;
        }
    }
    // Each message that is left is acknowledged or given up within `message.timeout.ms`.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(50));
        progress.report(producer.context().acknowledged())?;
    }
    Ok(expected)
}

fn plan(arguments: &Arguments) -> Result<Plan> {
    if !(0.0..=1.0).contains(&arguments.bad_ratio) {
        return Err("--bad-ratio is a share from 0 to 1".into());
    }
    let bad = if arguments.bad_ratio > 0.0 {
        share(arguments.count, arguments.bad_ratio)
    } else {
        arguments.bad
    };
    if bad > arguments.count {
        return Err("--bad can't be more than --count".into());
    }
    if arguments.id_prefix.contains(['"', '\\']) || arguments.id_prefix.contains(char::is_control) {
        return Err("--id-prefix can't contain quotes, backslashes or control characters".into());
    }
    Ok(Plan {
        seed: arguments.seed,
        count: arguments.count,
        bad,
        huge: arguments.huge,
        size: arguments.size,
        id_prefix: arguments.id_prefix.clone(),
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share from 0 to 1 of a count of messages"
)]
fn share(count: u64, ratio: f64) -> u64 {
    (count as f64 * ratio).round() as u64
}

fn send(
    producer: &BaseProducer<Deliveries>,
    mut record: BaseRecord<'_, str, [u8]>,
) -> std::result::Result<(), KafkaError> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                producer.poll(Duration::from_millis(5));
                record = returned;
            }
            Err((error, _)) => return Err(error),
        }
    }
}
