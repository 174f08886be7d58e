//! Access to MongoDB. Nothing outside this folder uses MongoDB's driver.

mod classify;
mod handler;
mod read_back;
mod session;
mod target;

pub use handler::{MongoDbError, MongoDbHandler};
pub use session::InsertSession;
pub use target::Topology;
