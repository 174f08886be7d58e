//! What became of the messages: acknowledged by Kafka, or failed.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// The producer's context, which counts the delivery reports. The lock is never contended: one thread polls.
#[derive(Debug, Default)]
pub struct Deliveries {
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

    pub fn acknowledged(&self) -> u64 {
        self.with(|tally| tally.acknowledged)
    }

    pub fn failed(&self) -> u64 {
        self.with(|tally| tally.failed)
    }

    pub fn first_failure(&self) -> Option<String> {
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
