//! Fills a topic with messages, valid and faulty ones, the same for the same seed.
//!
//! Progress goes to standard error; standard output has one line of JSON at the end. The exit code is
//! 0 only if Kafka acknowledged every message.

mod messages;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use messages::Plan;
use support::{Connection, REQUEST_TIMEOUT, Result, partitions_of};

/// Fill a Kafka topic with messages for the worker.
#[derive(Debug, Parser)]
#[command(name = "load_generator")]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// The topic; it is created if there is none.
    #[arg(long, default_value = "data-topic")]
    topic: String,
    /// How many partitions it gets; a topic that is there must have as many. [default: 6]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// How many messages to send in all, faulty ones included.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Messages per second; 0 is as fast as it goes.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How many of the messages are faulty, each in another way in turn.
    #[arg(long, default_value_t = 0, conflicts_with = "bad_ratio")]
    bad: u64,
    /// The same as a share, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    bad_ratio: f64,
    /// One of the faulty kinds is a document of more than 16 MiB.
    #[arg(long)]
    huge: bool,
    /// Another seed, other messages.
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
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load_generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let plan = plan(arguments)?;
    let partitions = prepare_topic(arguments)?;
    let producer: BaseProducer<Deliveries> = arguments
        .connection
        .client_config(&[
            ("acks", "all"),
            // A retry of librdkafka's must not put a message there twice: the count would be wrong.
            ("enable.idempotence", "true"),
            ("linger.ms", "10"),
            ("message.max.bytes", "67108864"),
            ("message.timeout.ms", "60000"),
            ("queue.buffering.max.kbytes", "131072"),
            ("queue.buffering.max.messages", "200000"),
        ])?
        .create_with_context(Deliveries::default())?;

    let pace = Pace::new(arguments.rate);
    let mut progress = Progress::new(plan.count);
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for index in 0..plan.count {
        let message = plan.message(index);
        if let Some(fault) = message.fault {
            *expected.entry(fault.reason().as_str()).or_default() += 1;
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
        send(&producer, record)?;

        let wait = pace.wait_after(index + 1);
        if !wait.is_zero() || index % 256 == 0 {
            producer.poll(wait);
            progress.report(producer.context().acknowledged());
        }
        if producer.context().failed() > 0 {
            break;
        }
    }
    // Each message that is left is acknowledged or given up within `message.timeout.ms`.
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(100));
        progress.report(producer.context().acknowledged());
    }

    let deliveries = producer.context();
    if let Some(failure) = deliveries.first_failure() {
        eprintln!(
            "load_generator: {} messages were not acknowledged; the first one: {failure}",
            deliveries.failed()
        );
    }
    let acknowledged = deliveries.acknowledged();
    let faulty: u64 = expected.values().sum();
    let seconds = progress.started.elapsed().as_secs_f64();
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

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate that a person reads"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)).round() as u64
}

fn prepare_topic(arguments: &Arguments) -> Result<Vec<i32>> {
    let config = arguments.connection.client_config(&[])?;
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = &arguments.topic;
    let existing = partitions_of(admin.inner(), topic)?;
    if !existing.is_empty() {
        let there = i32::try_from(existing.len())?;
        return match arguments.partitions {
            Some(wanted) if wanted != there => {
                Err(format!("`{topic}` has {there} partitions, not {wanted}").into())
            }
            Some(_) | None => Ok(existing),
        };
    }
    let partitions = arguments.partitions.unwrap_or(6);
    // -1 leaves the number of copies to the broker.
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    for result in block_on(admin.create_topics(&[new], &options))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(format!("could not create `{name}`: {code}").into()),
        }
    }
    Ok((0..partitions).collect())
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

/// What became of the messages. The lock is never contended: one thread polls.
#[derive(Debug, Default)]
struct Deliveries {
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Deliveries {
    fn with<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        let mut tally = self.tally.lock().expect("invariant: no holder panics");
        change(&mut tally)
    }

    fn acknowledged(&self) -> u64 {
        self.with(|tally| tally.acknowledged)
    }

    fn failed(&self) -> u64 {
        self.with(|tally| tally.failed)
    }

    fn first_failure(&self) -> Option<String> {
        self.with(|tally| tally.first_failure.clone())
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.with(|tally| match result {
            Ok(_) => tally.acknowledged += 1,
            Err((error, message)) => {
                tally.failed += 1;
                tally
                    .first_failure
                    .get_or_insert_with(|| format!("partition {}: {error}", message.partition()));
            }
        });
    }
}

/// Spreads the messages over time.
struct Pace {
    started: Instant,
    rate: u64,
}

impl Pace {
    fn new(rate: u64) -> Self {
        Self {
            started: Instant::now(),
            rate,
        }
    }

    /// How long to wait once so many messages are sent; short waits are saved up.
    fn wait_after(&self, sent: u64) -> Duration {
        let Some(nanoseconds) = (u128::from(sent) * 1_000_000_000).checked_div(self.rate.into())
        else {
            return Duration::ZERO;
        };
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let wait = due.saturating_sub(self.started.elapsed());
        if wait < Duration::from_millis(2) {
            Duration::ZERO
        } else {
            wait
        }
    }
}

/// One line a second.
struct Progress {
    started: Instant,
    count: u64,
    reported_at: Instant,
    reported: u64,
}

impl Progress {
    fn new(count: u64) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            count,
            reported_at: now,
            reported: 0,
        }
    }

    fn report(&mut self, acknowledged: u64) {
        let since = self.reported_at.elapsed();
        if since < Duration::from_secs(1) {
            return;
        }
        let rate = per_second(acknowledged - self.reported, since.as_secs_f64());
        eprintln!(
            "load_generator: {} s: {acknowledged} of {} messages, {rate}/s",
            self.started.elapsed().as_secs(),
            self.count,
        );
        self.reported_at = Instant::now();
        self.reported = acknowledged;
    }
}

/// Waits for an administrative request; the client has a thread of its own that completes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
