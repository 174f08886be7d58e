//! Where replayed dead letters go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError, bounded};

use super::super::assembly::instance;
use super::super::delivery::{DeliveryReports, weight_of};
use super::super::failure::Failure;
use super::super::gate::Gate;
use super::super::messages::{Event, Outcome, Settlement, ToCommitter, Weight};
use super::super::stop::StopSignal;
use super::super::threads::Threads;
use super::super::wake_up::WakeUp;
use super::super::writer::{Writer, WriterContext};
use super::books::Books;
use crate::config::Config;
use crate::core::dead_letter::{ConsumerIdentity, Ticket};
use crate::core::record::Batch;
use crate::core::rejection::Reason;
use crate::core::run::RecordRun;
use crate::kafka::{
    DeadLetter, DeadLetterProducer, DeliveryEvents, KafkaError, SendOutcome, dead_letter_advice,
};
use crate::mongo::{MongoDbError, MongoDbHandler};
use crate::observe::health::Health;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

pub(super) enum Destination {
    /// The workers' write path, with writers of our own.
    Mongodb {
        batches: Sender<Batch>,
        gate: Arc<Gate>,
    },
    Topic {
        producer: DeadLetterProducer,
        /// Of the batch that is offered, those that are sent.
        sent: usize,
    },
}

impl Destination {
    pub(super) fn mongodb(
        config: &Config,
        threads: &mut Threads,
        to_books: Sender<ToCommitter>,
        events: Sender<Event>,
        books: &Books,
        stop: &StopSignal,
    ) -> Result<Self, Failure> {
        let mongodb = connect(config)?;
        let metrics = Arc::new(MetricsCollector::new(
            config.metrics.port,
            &Reason::ALL.map(Reason::as_str),
        ));
        let health = Arc::new(Health::new(Instant::now(), config.kafka.max_poll_interval));
        let gate = Arc::new(Gate::stopping(Arc::clone(&metrics), health));
        let reports: Arc<dyn DeliveryEvents> = Arc::new(DeliveryReports {
            committer: to_books.clone(),
            supervisor: events,
            dead_letter_topic: config.kafka.dead_letter_topic.clone(),
        });
        let dead_letters =
            DeadLetterProducer::new(config, &reports).map_err(|error| producer_settings(&error))?;
        threads.spawn_reports(&dead_letters)?;
        let context = Arc::new(WriterContext {
            mongodb: Arc::new(mongodb),
            dead_letters: Arc::new(dead_letters),
            committer: to_books,
            assignment: Arc::clone(&books.assignment),
            gate: Arc::clone(&gate),
            stop: stop.clone(),
            metrics,
            identity: ConsumerIdentity {
                topic: config.kafka.topic.clone(),
                consumer_group: config.kafka.group_id.clone(),
                instance: instance(),
            },
            idle: AtomicUsize::new(0),
            queue_room: WakeUp::default(),
            rejection_log: RateLimited::default(),
            max_attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
            // An outage ends the replay: nothing goes back for it.
            redirects: false,
            // What comes was rejected before: nothing else is to be expected.
            max_consecutive_rejections: 0,
            consecutive_rejections: AtomicU64::new(0),
        });
        let count = config.consumer.writer_threads;
        // One batch waits for each writer, so that none has to wait for the replayer.
        let (batches, to_write) = bounded(count);
        for number in 0..count {
            let writer = Writer {
                batches: to_write.clone(),
                context: Arc::clone(&context),
            };
            threads.spawn(format!("writer-{number}"), move || writer.run())?;
        }
        Ok(Self::Mongodb { batches, gate })
    }

    pub(super) fn topic(
        config: &Config,
        topic: &str,
        threads: &mut Threads,
        to_books: Sender<ToCommitter>,
        events: Sender<Event>,
    ) -> Result<Self, Failure> {
        let reports: Arc<dyn DeliveryEvents> = Arc::new(PublishReports {
            books: to_books,
            events,
            topic: topic.to_owned(),
        });
        let producer = DeadLetterProducer::to_topic(config, topic, &reports)
            .map_err(|error| producer_settings(&error))?;
        threads.spawn_reports(&producer)?;
        Ok(Self::Topic { producer, sent: 0 })
    }

    /// Whether what Kafka acknowledges was published, and not dead-lettered again.
    pub(super) fn publishes(&self) -> bool {
        match self {
            Self::Mongodb { .. } => false,
            Self::Topic { .. } => true,
        }
    }

    /// Whether it takes anything: an outage of MongoDB ends the replay.
    pub(super) fn is_available(&self) -> bool {
        match self {
            Self::Mongodb { gate, .. } => gate.is_available(),
            Self::Topic { .. } => true,
        }
    }

    /// Hands a batch over; gives it back while there is no room for it.
    pub(super) fn offer(&mut self, batch: Batch, reason: Reason) -> Result<Option<Batch>, Failure> {
        match self {
            Self::Mongodb { batches, .. } => match batches.try_send(batch) {
                Ok(()) => Ok(None),
                Err(TrySendError::Full(batch)) => Ok(Some(batch)),
                Err(TrySendError::Disconnected(_)) => {
                    Err(Failure::Running("the writers are gone".to_owned()))
                }
            },
            Self::Topic { producer, sent } => {
                while let Some(record) = batch.records().get(*sent) {
                    let letter = DeadLetter {
                        key: batch.key(record),
                        value: batch.value(record),
                        original_headers: record.headers.as_ref(),
                        headers: Vec::new(),
                        ticket: Ticket {
                            id: record.id,
                            reason,
                            bytes: Weight::of(record).bytes,
                            taken_at: batch.taken_at(),
                        },
                    };
                    match producer.send(&letter) {
                        SendOutcome::Sent => *sent += 1,
                        SendOutcome::QueueFull => return Ok(Some(batch)),
                        SendOutcome::Refused(error) => {
                            return Err(Failure::Running(format!(
                                "the dead letter at partition {}, offset {} could not be published: \
                                 {error}",
                                record.id.partition, record.id.offset
                            )));
                        }
                    }
                }
                *sent = 0;
                Ok(None)
            }
        }
    }
}

fn connect(config: &Config) -> Result<MongoDbHandler, Failure> {
    let checked =
        MongoDbHandler::connect(config).and_then(|mongodb| mongodb.check_target().map(|_| mongodb));
    checked.map_err(|error| match error {
        MongoDbError::Refused(why) => Failure::MongoDbRefused(why),
        MongoDbError::Unavailable(why) => Failure::Running(format!(
            "MongoDB is unavailable, nothing was replayed: {why}"
        )),
    })
}

fn producer_settings(error: &KafkaError) -> Failure {
    Failure::Setting(format!("the producer's settings: {error}"))
}

/// The ends of records that are published.
struct PublishReports {
    books: Sender<ToCommitter>,
    events: Sender<Event>,
    topic: String,
}

impl DeliveryEvents for PublishReports {
    fn delivered(&self, ticket: &Ticket) {
        let settlement = Settlement {
            runs: vec![RecordRun::of(ticket.id)],
            outcome: Outcome::DeadLettered(ticket.reason),
            weight: weight_of(ticket),
            taken_at: ticket.taken_at,
        };
        // A replayer that is gone has ended the process already.
        let _ = self.books.send(ToCommitter::Settled(settlement));
    }

    fn undeliverable(&self, ticket: &Ticket, error: &KafkaError) {
        let abandoned = ToCommitter::Abandoned {
            runs: vec![RecordRun::of(ticket.id)],
            weight: weight_of(ticket),
        };
        // As above.
        let _ = self.books.send(abandoned);
        let failure = Failure::Running(format!(
            "the dead letter at partition {}, offset {} could not be published to `{}`: {error}; {}",
            ticket.id.partition,
            ticket.id.offset,
            self.topic,
            dead_letter_advice(error),
        ));
        // A full channel means that there are enough reasons to stop already.
        let _ = self.events.try_send(Event::Failed(failure));
    }
}
