//! The threads and what they say to each other. Data flows one way:
//!
//! ```text
//! Kafka → poller → writers → MongoDB
//!            │        └────→ dead letter topic
//!            └─→ committer ←── settlements      committer → Kafka
//! ```

mod assembly;
mod batch_write;
mod committer;
mod data_consumer;
mod delivery;
mod failure;
mod gate;
mod group;
mod hand;
mod in_flight;
mod memory;
mod messages;
mod poller;
mod reading;
mod replay;
mod signals;
mod stop;
mod supervisor;
mod threads;
mod wake_up;
mod watch;
mod writer;

pub use data_consumer::DataConsumer;
pub use failure::Failure;
pub use replay::{ReplayRequest, ReplayTally, replay};
