//! What the worker decides: pure, without I/O and without a clock of its own.
//!
//! Nothing here knows Kafka's or MongoDB's client, the configuration or the metrics.

pub mod assignment;
pub mod availability;
pub mod dead_letter;
pub mod document;
pub mod offsets;
pub mod partition;
pub mod record;
pub mod rejection;
pub mod run;
pub mod start;
pub mod write_plan;
