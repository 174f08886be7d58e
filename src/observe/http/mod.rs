//! The HTTP server for the page, `/status`, `/metrics`, `/health` and `/ready`. It is meant for an internal network: it
//! has neither TLS nor a login. What its clients can take is limited.
//!
//! A request's way: `server` (the port) → `client` (one connection) → `request` (its head) → `upstream` (tiny_http) →
//! `routes` (the answer).

mod client;
mod request;
mod routes;
mod server;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's threads end with it")]
mod tests;
mod upstream;

pub use server::HttpServer;
pub use upstream::is_log_noise;
