//! The worker against a real Kafka and a real MongoDB. scripts/test starts both and runs these tests.

mod chaos;
mod configuration;
mod crashes;
mod faults;
mod harness;
mod metrics;
mod operator_audit;
mod operator_dead_letters;
mod operator_refusals;
mod positions;
mod rebalancing;
mod recreated_topics;
mod refusals;
mod rejections;
mod secrets;
mod slow_writers;
mod starting;
mod stopping;
mod storing;
mod topics;
mod write_rejections;
