//! MongoDB's driver stops here: nothing outside this folder knows it.

mod classify;
mod handler;
mod insert;

pub use handler::{MongoDbError, MongoDbHandler, Topology};
