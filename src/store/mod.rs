//! Writing: a pool of writers that store each record of a batch or send it to the dead letter topic.
//!
//! *Invariant:* every record ends in MongoDB or in the dead letter topic, or it is handed back as abandoned and
//! its offset stays uncommitted.
//!
//! The same stage serves the worker and the replay of dead letters. What an outage of MongoDB means is the
//! stage's policy.

mod batch_limit;
mod batch_write;
mod dead_letters;
mod flood_guard;
mod inserter;
mod observer;
mod outage;
mod queue;
mod stage;
#[cfg(test)]
mod tests;
mod unfinished;
mod writer;
mod writer_pool;
mod yielding;

pub use batch_limit::BatchLimit;
pub use dead_letters::{
    DeadLetters, consumer_identity, dead_letter_producer, producer_settings, spawn_report_pollers,
};
pub use flood_guard::FloodGuard;
pub use inserter::MongoDbInserter;
pub use observer::StoreObserver;
pub use outage::OutageTracker;
pub use stage::Stage;
pub use writer_pool::WriterPool;
pub use yielding::Yielding;
