//! The control socket: an operator on the worker's host asks for its status, pauses it, and resumes it. One line of JSON
//! each way. Whoever may open the socket may do all of it; only the worker's own user and root may.

mod client;
mod connection;
mod protocol;
mod server;

pub use client::{TIMEOUT, ask};
pub use protocol::{Reply, Request};
pub use server::{ControlServer, ControlSocket};
