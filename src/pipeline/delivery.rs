//! Ends of records that come outside a writer: the delivery reports of dead letters.

use crossbeam_channel::Sender;

use super::failure::Failure;
use super::messages::{Event, Outcome, Settlement, ToCommitter, Weight};
use crate::core::dead_letter::Ticket;
use crate::core::run::RecordRun;
use crate::kafka::{DeliveryEvents, KafkaError, dead_letter_advice};

/// Turns delivery reports into settlements. Called on the producer's thread.
pub struct DeliveryReports {
    pub committer: Sender<ToCommitter>,
    pub supervisor: Sender<Event>,
    pub dead_letter_topic: String,
}

impl DeliveryEvents for DeliveryReports {
    fn delivered(&self, ticket: &Ticket) {
        let settlement = Settlement {
            runs: vec![RecordRun::of(ticket.id)],
            outcome: Outcome::DeadLettered(ticket.reason),
            weight: weight_of(ticket),
            taken_at: ticket.taken_at,
        };
        // A committer that is gone has ended the process already.
        let _ = self.committer.send(ToCommitter::Settled(settlement));
    }

    fn undeliverable(&self, ticket: &Ticket, error: &KafkaError) {
        let abandoned = ToCommitter::Abandoned {
            runs: vec![RecordRun::of(ticket.id)],
            weight: weight_of(ticket),
        };
        // As above.
        let _ = self.committer.send(abandoned);
        let failure = Failure::Running(format!(
            "the record at partition {}, offset {} can be neither stored ({}) nor written to the dead \
             letter topic `{}`: {error}. Its offset stays uncommitted; {}",
            ticket.id.partition,
            ticket.id.offset,
            ticket.reason,
            self.dead_letter_topic,
            dead_letter_advice(error),
        ));
        // A full channel means that the supervisor has enough reasons to stop already.
        let _ = self.supervisor.try_send(Event::Failed(failure));
    }
}

/// What a dead letter's record weighs.
pub fn weight_of(ticket: &Ticket) -> Weight {
    Weight {
        messages: 1,
        bytes: ticket.bytes,
    }
}
