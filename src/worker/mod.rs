//! The worker: what runs, which part gets what, and in which order all of it ends.
//!
//! ```text
//! Kafka → intake → store → MongoDB
//!            │       └──→ dead letter topic
//!            └─→ commit ←── settlements      commit → Kafka
//! ```

mod data_consumer;
mod memory;
mod mongodb_setup;
mod observer;
mod outage_replay;
mod reload;
mod supervisor;
mod systemd;
mod wiring;

pub use data_consumer::{DataConsumer, Ended};
pub use memory::{MemoryLimit, worst_case as worst_case_memory};
