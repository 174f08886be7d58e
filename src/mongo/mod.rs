//! Access to MongoDB. Nothing outside this folder uses MongoDB's driver.

mod classify;
mod handler;
mod inspection;
mod privileges;
mod read_back;
mod session;
mod target;

pub use handler::{IndexState, MongoDbError, MongoDbHandler};
pub use inspection::Rights;
pub use session::InsertSession;
pub use target::{Deployment, Topology, rollback_warning};
