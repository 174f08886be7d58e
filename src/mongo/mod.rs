//! MongoDB's driver stops here: nothing outside this folder knows it.

mod classify;
mod handler;
mod session;

pub use handler::{MongoDbError, MongoDbHandler, Topology};
pub use session::InsertSession;
