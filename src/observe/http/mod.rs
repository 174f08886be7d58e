//! The HTTP server for `/metrics`, `/health`, `/ready`, `/status` and the page at `/`. It is meant for an internal
//! network, not for a public one: tiny_http limits neither the number of connections nor the size of a header.

mod routes;
mod server;
mod stalled_clients;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's threads end with it")]
mod tests;

pub use server::{HANDLER_THREADS, HttpServer};
