//! Observability: metrics, the log, health, the worker's status, and the HTTP server that serves them.
//!
//! This module imports nothing from the rest of the crate. The only thread that it starts is the one that writes the
//! log.

pub mod board;
pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod status;
