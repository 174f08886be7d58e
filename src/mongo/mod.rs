//! Access to MongoDB. Nothing outside this folder uses MongoDB's driver.

mod classify;
mod handler;
mod session;

pub use handler::{MongoDbError, MongoDbHandler, Topology};
pub use session::InsertSession;
