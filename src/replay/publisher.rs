//! Publishes dead letters to a topic, as they were before they became dead letters.

use std::sync::Arc;
use std::time::Duration;

use crate::commit::{DispatchedBatch, Dispatcher, Outcome, RecordReceipt};
use crate::config::Config;
use crate::core::partition::RecordId;
use crate::core::record::{Batch, Weight};
use crate::failure::Failure;
use crate::kafka::{DeadLetter, DeadLetterProducer, DeliveryListener, SendError, Undeliverable};
use crate::runtime::{ProcessEvents, Threads};
use crate::store::{producer_settings, spawn_report_pollers};

pub(super) struct Publisher {
    producer: DeadLetterProducer,
    dispatcher: Dispatcher,
    report: Arc<PublishReportContext>,
    /// The batch that is being sent.
    sending: Option<Sending>,
}

struct Sending {
    batch: DispatchedBatch,
    /// The index of the next record to send.
    next: usize,
    /// The listener of that record, if the producer gave it back.
    listener: Option<Box<dyn DeliveryListener>>,
}

struct PublishReportContext {
    topic: String,
    events: ProcessEvents,
}

impl Publisher {
    pub(super) fn new(
        config: &Config,
        topic: &str,
        threads: &mut Threads,
        dispatcher: Dispatcher,
        events: ProcessEvents,
    ) -> Result<Self, Failure> {
        let producer = DeadLetterProducer::to_topic(config, topic).map_err(producer_settings)?;
        spawn_report_pollers(threads, &producer)?;
        let topic = topic.to_owned();
        Ok(Self {
            producer,
            dispatcher,
            report: Arc::new(PublishReportContext { topic, events }),
            sending: None,
        })
    }

    /// Takes a batch, or gives it back while another one is being sent or too much is in flight.
    pub(super) fn offer(&mut self, batch: Batch) -> Result<(), Batch> {
        if self.sending.is_some() || !self.dispatcher.in_flight().has_room(batch.weight()) {
            return Err(batch);
        }
        self.sending = Some(Sending {
            batch: self.dispatcher.dispatch(batch),
            next: 0,
            listener: None,
        });
        Ok(())
    }

    /// Sends what the producer has room for. Fails when the producer refuses a letter.
    pub(super) fn advance(&mut self) -> Result<(), Failure> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        while sending.next < sending.batch.batch().len() {
            let kept = sending.listener.take();
            let Some(listener) = kept.or_else(|| sending.split_off(&self.report)) else {
                sending.next += 1;
                continue;
            };
            let batch = sending.batch.batch();
            let record = &batch.records()[sending.next];
            let letter = DeadLetter {
                key: batch.key(record),
                value: batch.value(record),
                original_headers: record.headers.as_ref(),
                headers: &[],
            };
            match self.producer.send(&letter, listener) {
                Ok(()) => sending.next += 1,
                Err(SendError::NoRoom(listener)) => {
                    sending.listener = Some(listener);
                    return Ok(());
                }
                Err(SendError::Refused(listener, why)) => {
                    let id = listener.record_id();
                    // Nothing behind it is published: the next replay begins with this letter.
                    self.sending = None;
                    let failure = Failure::running(format!(
                        "the dead letter at partition {}, offset {} could not be published",
                        id.partition, id.offset
                    ));
                    return Err(failure.because(why));
                }
            }
        }
        self.sending = None;
        Ok(())
    }

    /// Waits until something is settled, up to `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.dispatcher.in_flight().wait_for_room(timeout);
    }

    pub(super) fn in_flight(&self) -> Weight {
        self.dispatcher.in_flight().now()
    }
}

impl Sending {
    fn split_off(
        &mut self,
        report: &Arc<PublishReportContext>,
    ) -> Option<Box<dyn DeliveryListener>> {
        let receipt = self.batch.split_off(self.next)?;
        let context = Arc::clone(report);
        Some(Box::new(PublishReceipt { receipt, context }))
    }
}

/// A letter on its way to the topic.
struct PublishReceipt {
    receipt: RecordReceipt,
    context: Arc<PublishReportContext>,
}

impl DeliveryListener for PublishReceipt {
    fn delivered(self: Box<Self>) {
        self.receipt.settle(Outcome::Published);
    }

    fn undeliverable(self: Box<Self>, why: Undeliverable) {
        let id = self.receipt.id();
        // The committer is told first that the letter is abandoned. Then the replayer gets the reason.
        drop(self.receipt);
        self.context.events.failed(Failure::running(format!(
            "the dead letter at partition {}, offset {} could not be published to `{}`: {why}",
            id.partition, id.offset, self.context.topic,
        )));
    }

    fn record_id(&self) -> RecordId {
        self.receipt.id()
    }
}
