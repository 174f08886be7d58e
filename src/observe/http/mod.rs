//! The HTTP port: `/metrics`, `/health`, `/ready`. Meant for the platform's own network, not the public
//! one: the library that serves it has no limit on connections or on the size of a header.

mod routes;
mod server;
mod stalled;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's threads end with it")]
mod tests;

pub use server::{HANDLER_THREADS, HttpServer};
