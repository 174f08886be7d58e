//! Taking messages off Kafka and gathering them into batches.
//!
//! *Invariant:* only the poller polls, and it polls whatever happens: the group removes a member that doesn't.

mod assignment_watch;
mod back_pressure;
mod event;
mod gap;
mod letters;
mod operator_pause;
mod paused_lag;
mod pending_batches;
mod poll_error;
mod poller;
mod positions;
mod reachability;
mod rebalance_handler;
mod topic_starts;

pub use poller::{Poller, PollerSettings};
pub use reachability::{Attempts, KafkaWatch, reach_kafka};
pub use rebalance_handler::{LEADERLESS_BOUND, RebalanceHandler};
