//! MongoDB's driver stops here: nothing outside this folder knows it.

mod classify;
mod handler;

pub use handler::{MongoDbError, MongoDbHandler, Topology};
