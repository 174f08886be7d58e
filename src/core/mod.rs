//! What the worker decides: pure, without I/O and without a clock of its own.
//!
//! Nothing here knows Kafka's or MongoDB's client, the configuration or the metrics.

pub mod document;
pub mod partition;
pub mod record;
pub mod rejection;
