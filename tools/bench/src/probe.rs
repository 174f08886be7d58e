//! Latency as a reader of MongoDB sees it: single messages, each of which is queried until it can be read.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use crossbeam_channel::{Receiver, Sender, bounded};
use mongodb::sync::Collection;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::{Result, pause};

/// The shortest pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_micros(100);
/// If a message can't be read by then, the row fails.
const GIVE_UP: Duration = Duration::from_secs(300);
/// More probes than ever wait: the searching thread takes them at once.
const UNDER_WAY: usize = 100_000;

/// A message that was sent and not yet found.
pub struct Probe {
    id: String,
    since: Instant,
}

/// One message each `1 / rate` seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rate: u32,
    pub count: u32,
}

impl Pace {
    pub fn lasting(rate: u32, duration: Duration) -> Self {
        let count = u128::from(rate) * duration.as_millis() / 1000;
        Self {
            rate,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        }
    }

    fn each(self, mut issue: impl FnMut(u32) -> Result<()>) -> Result<()> {
        let interval = Duration::from_secs(1) / self.rate;
        let started = Instant::now();
        for index in 0..self.count {
            pause((interval * index).saturating_sub(started.elapsed()));
            issue(index)?;
        }
        Ok(())
    }
}

/// Sends messages to the topic. Returns in milliseconds how long after Kafka's acknowledgement each message could
/// be read from the collection.
pub fn through_kafka(
    brokers: &str,
    topic: &str,
    collection: &Collection<Document>,
    prefix: &str,
    pace: Pace,
) -> Result<Vec<f64>> {
    watch(collection, |probes| {
        let producer: ThreadedProducer<Reports> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("linger.ms", "0")
            .create_with_context(Reports { probes })?;
        pace.each(|index| {
            let id = format!("{prefix}-{index}");
            let payload = message(&id);
            let record: BaseRecord<'_, (), str, Box<String>> =
                BaseRecord::with_opaque_to(topic, Box::new(id)).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
            Ok(())
        })?;
        Ok(producer.flush(GIVE_UP)?)
    })
}

/// Inserts documents one by one with the worker's write concern. Returns in milliseconds how long after the call
/// each document could be read.
pub fn direct(collection: &Collection<Document>, prefix: &str, pace: Pace) -> Result<Vec<f64>> {
    watch(collection, |probes| {
        pace.each(|index| {
            let id = format!("{prefix}-{index}");
            let document = doc! {
                "_id": &id, "message_id": &id, "name": "probe",
                "created_at": CREATED_AT, "metadata": { "note": NOTE },
            };
            let since = Instant::now();
            probes.send(Probe { id, since })?;
            collection.insert_one(document).run()?;
            Ok(())
        })
    })
}

const CREATED_AT: &str = "2023-07-15T12:34:56.789Z";
/// Makes a probe about as long as a message of the load generator.
const NOTE: &str = "as long as the others, or about so";

fn message(id: &str) -> String {
    format!(
        r#"{{"message_id":"{id}","name":"probe","created_at":"{CREATED_AT}","metadata":{{"note":"{NOTE}"}}}}"#
    )
}

/// Runs `issue`, which sends probes, while a thread searches for them. Returns the latencies in milliseconds.
fn watch(
    collection: &Collection<Document>,
    issue: impl FnOnce(Sender<Probe>) -> Result<()>,
) -> Result<Vec<f64>> {
    let (probes, to_find) = bounded(UNDER_WAY);
    thread::scope(|scope| {
        let finder = scope.spawn(move || find(collection, &to_find).map_err(|e| e.to_string()));
        // It drops its sender when it returns, which ends the search.
        let issued = issue(probes);
        let found = finder
            .join()
            .map_err(|_| "the search for probes panicked")?;
        issued?;
        Ok(found?)
    })
}

/// Searches for all probes at once, so that no probe waits for another.
fn find(collection: &Collection<Document>, probes: &Receiver<Probe>) -> Result<Vec<f64>> {
    let mut under_way: HashMap<String, Instant> = HashMap::new();
    let mut latencies = Vec::new();
    loop {
        if under_way.is_empty() {
            match probes.recv() {
                Ok(probe) => under_way.insert(probe.id, probe.since),
                Err(_) => return Ok(latencies),
            };
        }
        under_way.extend(probes.try_iter().map(|probe| (probe.id, probe.since)));
        let ids: Vec<&str> = under_way.keys().map(String::as_str).collect();
        let documents = collection
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "_id": 1 })
            .run()?;
        for document in documents {
            let id = document?.get_str("_id")?.to_owned();
            if let Some(since) = under_way.remove(&id) {
                latencies.push(since.elapsed().as_secs_f64() * 1e3);
            }
        }
        let ages = under_way.values().map(Instant::elapsed);
        let oldest = ages.max().unwrap_or_default();
        if oldest > GIVE_UP {
            return Err(format!("{} probes were not stored in time", under_way.len()).into());
        }
        // The latency is exact to 1 %. Fewer queries for old probes disturb the system less.
        pause(LOOK_INTERVAL.max(oldest / 100));
    }
}

/// Passes a probe on to the search once Kafka has acknowledged it.
struct Reports {
    probes: Sender<Probe>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<String>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Box<String>) {
        match result {
            Ok(_) => {
                let since = Instant::now();
                // It fails only after the search has failed, and that is reported.
                let _ = self.probes.send(Probe { id: *id, since });
            }
            Err((error, _)) => eprintln!("bench: a probe could not be sent: {error}"),
        }
    }
}
