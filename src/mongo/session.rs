//! One session of the driver for all inserts of one thread. Without it the driver takes a session from its
//! pool for every insert and spawns a task to put it back. With small batches that takes a tenth of the
//! worker's CPU time.

use mongodb::error::Result;
use mongodb::sync::{Client, ClientSession};

use super::classify;

/// The session of one writer thread.
#[derive(Default)]
pub enum InsertSession {
    #[default]
    Closed,
    Open(Box<ClientSession>),
    /// The server doesn't support sessions. The driver fails if an insert has one, and works if it has
    /// none.
    Unsupported,
}

impl InsertSession {
    /// Returns the session to the driver's pool; the next insert takes a new one. The driver discards a
    /// session after a network error.
    pub fn close(&mut self) {
        *self = Self::Closed;
    }

    /// Runs `insert` with the session. Runs it again without if the server doesn't support sessions.
    pub(super) fn run<T>(
        &mut self,
        client: &Client,
        insert: impl Fn(Option<&mut ClientSession>) -> Result<T>,
    ) -> Result<T> {
        if let Self::Closed = self {
            // The driver's implicit sessions aren't causally consistent either. If this one were, each
            // insert into a replica set would name the operation time of the insert before, and the server
            // would wait for that time without a limit.
            let session = client.start_session().causal_consistency(false).run()?;
            *self = Self::Open(Box::new(session));
        }
        let Self::Open(session) = self else {
            return insert(None);
        };
        match insert(Some(session)) {
            Err(error) if classify::needs_no_session(&error) => {
                *self = Self::Unsupported;
                insert(None)
            }
            result => result,
        }
    }
}
