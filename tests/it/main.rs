//! The worker against a real Kafka and a real MongoDB. Run by scripts/test, which starts both.

mod harness;
mod storing;
