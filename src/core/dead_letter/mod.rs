//! Dead letters: the `dlq.*` headers that say where one comes from and why, which of them a replay
//! takes, and an index of them. No I/O, no clock.

mod headers;
mod index;
mod replay_criteria;

pub use headers::{
    ConsumerIdentity, DeadLetterHeaders, Header, VALUE_OMITTED, VALUE_SIZE, is_dead_letter_header,
};
pub use index::{DeadLetterIndex, DeadLetterIndexBuilder, IndexedDeadLetter, LetterFound};
pub use replay_criteria::{ReplayCriteria, ReplayDecision, replay_group};
