//! Sending records to the dead letter topic. The delivery report settles a record, never the send.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{Level, log};

use super::unfinished::Unfinished;
use crate::commit::{DispatchedBatch, Outcome, Ownership, RecordReceipt};
use crate::config::Config;
use crate::core::dead_letter::{ConsumerIdentity, DeadLetterHeaders};
use crate::core::partition::{Offset, RecordId, TopicPartition};
use crate::core::record::Record;
use crate::core::rejection::{Reason, Rejection};
use crate::failure::Failure;
use crate::kafka::{DeadLetter, DeadLetterProducer, DeliveryListener, SendError, Undeliverable};
use crate::observe::log::RateLimited;
use crate::runtime::{ProcessEvents, StopSignal, Threads, instance};

/// The log line of a record.
const LINE: &str = "a record goes to the dead letter topic";

/// How often a writer that waits for room looks at the stop and at the owner of its record.
const ROOM_WAIT: Duration = Duration::from_millis(50);

/// Where dead letters are handed over.
pub trait DeadLetterSink: Send + Sync {
    /// Hands a dead letter over without waiting. On success the listener is called with the result.
    fn send(
        &self,
        letter: &DeadLetter<'_>,
        listener: Box<dyn DeliveryListener>,
    ) -> Result<(), SendError>;

    /// Waits until there is room for more letters, up to `timeout`.
    fn wait_for_room(&self, timeout: Duration);
}

impl DeadLetterSink for DeadLetterProducer {
    fn send(
        &self,
        letter: &DeadLetter<'_>,
        listener: Box<dyn DeliveryListener>,
    ) -> Result<(), SendError> {
        self.send(letter, listener)
    }

    fn wait_for_room(&self, timeout: Duration) {
        self.wait_for_room(timeout);
    }
}

/// A producer for the dead letter topic. Fails when a property can't be used.
pub fn dead_letter_producer(config: &Config) -> Result<Arc<DeadLetterProducer>, Failure> {
    let producer = DeadLetterProducer::new(config).map_err(producer_settings)?;
    Ok(Arc::new(producer))
}

pub fn producer_settings(error: impl Error + Send + Sync + 'static) -> Failure {
    Failure::configuration("the settings of the producer of dead letters can't be used")
        .because(error)
}

/// Starts the threads that bring the producer's delivery reports.
pub fn spawn_report_pollers(
    threads: &mut Threads,
    producer: &DeadLetterProducer,
) -> Result<(), Failure> {
    for poller in producer.report_pollers() {
        threads.spawn_detached("reports", move || poller.run())?;
    }
    Ok(())
}

/// The way of all writers to the dead letter topic.
pub struct DeadLetters {
    sink: Arc<dyn DeadLetterSink>,
    identity: ConsumerIdentity,
    report: Arc<DeadLetterReportContext>,
    /// For records that can't be stored as they are.
    rejected: RateLimited,
    /// For records that can't be stored while MongoDB is unavailable.
    redirected: RateLimited,
}

/// What a delivery report needs to say what went wrong.
struct DeadLetterReportContext {
    dead_letter_topic: String,
    events: ProcessEvents,
}

impl DeadLetters {
    pub fn new(
        sink: Arc<dyn DeadLetterSink>,
        identity: ConsumerIdentity,
        dead_letter_topic: &str,
        events: ProcessEvents,
    ) -> Self {
        Self {
            sink,
            identity,
            report: Arc::new(DeadLetterReportContext {
                dead_letter_topic: dead_letter_topic.to_owned(),
                events,
            }),
            rejected: RateLimited::new(Level::Error, LINE),
            redirected: RateLimited::new(Level::Warn, LINE),
        }
    }

    /// Hands one record of `batch` to the producer; its delivery report settles it. `attempts` is how many
    /// inserts it was part of. While too many letters are under way, this waits until the stop's deadline, or
    /// until the record belongs to another member.
    pub(super) fn send(
        &self,
        batch: &mut DispatchedBatch,
        index: usize,
        rejection: &Rejection,
        attempts: u32,
        ownership: &Ownership,
        stop: &StopSignal,
    ) -> Result<(), Unfinished> {
        let Some(receipt) = batch.split_off(index) else {
            return Ok(());
        };
        let id = receipt.id();
        let source = batch.batch().records()[index].source();
        let mut listener: Box<dyn DeliveryListener> = Box::new(LetterReceipt {
            receipt,
            source,
            reason: rejection.reason,
            context: Arc::clone(&self.report),
        });
        let batch = batch.batch();
        let record = &batch.records()[index];
        self.log_rejection(record, rejection);
        let headers = DeadLetterHeaders::of_rejection(
            &self.identity,
            record,
            rejection,
            attempts,
            SystemTime::now(),
        )
        .write();
        let letter = DeadLetter {
            key: batch.key(record),
            value: batch.value(record),
            original_headers: record.headers.as_ref(),
            headers: &headers,
        };
        loop {
            listener = match self.sink.send(&letter, listener) {
                Ok(()) => return Ok(()),
                Err(SendError::NoRoom(listener)) => listener,
                Err(SendError::Refused(_, why)) => {
                    let failure = Failure::running(format!(
                        "the record at partition {}, offset {} can be neither stored ({}) nor handed \
                         to the dead letter producer; its offset stays uncommitted",
                        source.0, source.1, rejection.reason
                    ));
                    return Err(Unfinished::Failed(failure.because(why)));
                }
            };
            if stop.is_past_deadline() {
                return Err(Unfinished::GivenUp);
            }
            if !ownership.is_ours(id) {
                // The new owner reads this record; the others of the batch may still be ours.
                return Ok(());
            }
            self.sink.wait_for_room(ROOM_WAIT);
        }
    }

    /// A rejected record is an error. A redirected one is handled as configured, and the outage is logged by itself.
    fn log_rejection(&self, record: &Record, rejection: &Rejection) {
        let (level, limit) = if rejection.reason == Reason::MongodbUnavailable {
            (Level::Warn, &self.redirected)
        } else {
            (Level::Error, &self.rejected)
        };
        let Some(suppressed) = limit.admit(Instant::now()) else {
            return;
        };
        let (partition, offset) = record.source();
        // Neither the value nor the server's words, which may quote it.
        log!(
            level, topic = self.identity.topic, partition = partition.number,
            offset = offset.0, bytes = record.size(), reason = rejection.reason.as_str(),
            field = rejection.field.as_deref(), code = rejection.code, suppressed;
            "{LINE}"
        );
    }
}

/// A dead letter on its way: carried by the producer until the delivery report comes.
struct LetterReceipt {
    receipt: RecordReceipt,
    /// The place of the record in the consumed topic.
    source: (TopicPartition, Offset),
    reason: Reason,
    context: Arc<DeadLetterReportContext>,
}

impl DeliveryListener for LetterReceipt {
    fn delivered(self: Box<Self>) {
        self.receipt.settle(Outcome::DeadLettered(self.reason));
    }

    fn undeliverable(self: Box<Self>, why: Undeliverable) {
        let (partition, offset) = self.source;
        // The committer is told first that the record is abandoned. Then the supervisor gets the reason.
        drop(self.receipt);
        let failure = Failure::running(format!(
            "the record at partition {partition}, offset {offset} can be neither stored ({}) nor written to the dead \
             letter topic `{}`: {}. Its offset stays uncommitted; {}",
            self.reason, self.context.dead_letter_topic, why.cause, why.advice,
        ));
        self.context.events.failed(failure);
    }

    fn record_id(&self) -> RecordId {
        self.receipt.id()
    }
}

/// Who writes the dead letters of this process.
pub fn consumer_identity(config: &Config) -> ConsumerIdentity {
    ConsumerIdentity {
        topic: config.kafka.topic.clone(),
        consumer_group: config.kafka.group_id.clone(),
        instance: instance(),
    }
}
