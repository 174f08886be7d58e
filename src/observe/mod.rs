//! Observability: metrics, the log, health, and the HTTP server that serves metrics and health.
//!
//! This module imports nothing from the rest of the crate. The only thread that it starts is the one that writes the
//! log.

pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
