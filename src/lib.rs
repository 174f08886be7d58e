//! The worker as a library: the binary, the integration tests and the benchmarks stand on it. Public is only
//! what they use, and the classes that the specification names; ARCHITECTURE.md has the map of the rest.

mod cli;
mod commands;
mod commit;
pub mod config;
mod control;
mod core;
mod failure;
mod intake;
mod kafka;
mod mongo;
mod observe;
mod replay;
mod runtime;
mod store;
mod worker;

pub use cli::Cli;
pub use commands::execute;
pub use core::rejection::Reason;
pub use failure::Failure;
pub use mongo::MongoDbHandler;
pub use observe::metrics::MetricsCollector;
pub use runtime::{CaughtSignals, end_process};
pub use worker::DataConsumer;

/// What the benchmarks measure by itself: the work for each record.
pub mod per_record {
    pub use crate::core::document::{
        Documents, IdSource, JsonSchema, MAX_LEVELS, MessageParts, MessageRules, MessageSchema,
        ReceivedAt,
    };
    pub use crate::core::offset_tracker::{Arrival, OffsetTracker};
    pub use crate::core::partition::{Epoch, Offset, TopicPartition};
    pub use crate::core::record::Timestamp;
    pub use crate::core::record_run::RecordRun;
}
