//! The worker as a library: the binary, the integration tests and the benchmarks stand on it.
//! ARCHITECTURE.md has the map.

pub mod cli;
pub mod commands;
pub mod config;
pub mod core;
pub mod kafka;
pub mod mongo;
pub mod observe;
pub mod pipeline;
