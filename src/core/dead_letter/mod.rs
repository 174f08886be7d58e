//! Dead letters: the `dlq.*` headers that say where one comes from and why, which of them a replay
//! takes, and an index of them. No I/O, no clock.

mod headers;
mod index;
mod replay_criteria;

use std::time::Instant;

use super::partition::RecordId;
use super::rejection::Reason;

pub use headers::{
    ConsumerIdentity, DeadLetterHeaders, Header, VALUE_OMITTED, VALUE_SIZE, is_dead_letter_header,
};
pub use index::{DeadLetterIndex, DeadLetterIndexBuilder, IndexedDeadLetter};
pub use replay_criteria::{ReplayCriteria, ReplayDecision};

/// What to settle when Kafka has acknowledged the dead letter.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub id: RecordId,
    pub reason: Reason,
    pub bytes: usize,
    pub taken_at: Instant,
}
