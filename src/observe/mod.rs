//! What the worker shows of itself: metrics, log lines, health, and the HTTP port that serves them.
//!
//! A leaf: it knows nothing of the rest of the crate, and spawns no thread of its own.

pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
