//! What the tests share: topics and databases on real servers, the worker as a process, and the ledger that
//! checks its work. There are no tests here, and no code of the worker is used.

mod admin;
mod authority;
mod background;
mod content;
mod dead_letters;
mod fail_point;
mod http;
mod json;
mod ledger;
mod log;
pub mod metric;
mod metrics;
mod offsets;
mod own_servers;
mod process;
mod producer;
mod proxy;
mod requests;
mod servers;
mod stored;
mod waiting;
mod worker;
mod world;

pub use admin::Admin;
pub use authority::{Authority, Identity};
pub use background::Background;
pub use content::{Content, Fate, Message};
pub use dead_letters::DeadLetter;
pub use http::request;
pub use json::{Json, text};
pub use ledger::Entry;
pub use log::LogLine;
pub use metrics::Metrics;
pub use own_servers::{Only, OwnServers};
pub use process::{Signal, catches_sigterm, signal, status_of};
pub use producer::Producer;
pub use proxy::MongoDbProxy;
pub use requests::{Resource, Right, allow, commit_with_bytes, forbid_writing, limit_producer};
pub use servers::Servers;
pub use waiting::{MINUTE, SHORT, until};
pub use worker::{Finished, Worker, WorkerSetup};
pub use world::{World, wait_for_commits};
