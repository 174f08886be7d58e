//! The worker as a library: the binary, the integration tests and the benchmarks stand on it.
//! ARCHITECTURE.md has the map.

pub mod core;
pub mod observe;
