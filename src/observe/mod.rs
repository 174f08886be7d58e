//! Observability: metrics, the log, health, and the HTTP server that serves metrics and health.
//!
//! This module imports nothing from the rest of the crate and spawns no threads.

pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
