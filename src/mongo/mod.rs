//! Access to MongoDB. Nothing outside this folder uses MongoDB's driver.

mod certificate;
mod classify;
mod handler;
mod heartbeats;
mod index_state;
mod indexes;
mod inspection;
mod privileges;
mod read_back;
mod session;
mod target;
mod turn;

pub use handler::{MongoDbError, MongoDbHandler};
pub use index_state::IndexState;
pub use indexes::FoundIndex;
pub use inspection::Rights;
pub use session::InsertSession;
pub use target::{Deployment, Topology, rollback_warning};
