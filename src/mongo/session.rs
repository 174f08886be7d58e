//! A driver's session that the inserts of one thread share. Without it the driver takes a session out of
//! its pool for every insert and spawns a task to put it back: with small batches a tenth of the worker's
//! CPU time.

use mongodb::error::Result;
use mongodb::sync::{Client, ClientSession};

use super::classify;

/// For one thread.
#[derive(Default)]
pub enum InsertSession {
    #[default]
    Closed,
    Open(Box<ClientSession>),
    /// The server knows no sessions: the driver fails where it is given one, and does without where it
    /// isn't.
    Unsupported,
}

impl InsertSession {
    /// Gives the session back: an idle thread needs none. The driver discards one that saw a connection
    /// break.
    pub fn close(&mut self) {
        *self = Self::Closed;
    }

    /// Runs `insert` with the session, and once more without where the server knows none.
    pub(super) fn run<T>(
        &mut self,
        client: &Client,
        insert: impl Fn(Option<&mut ClientSession>) -> Result<T>,
    ) -> Result<T> {
        if let Self::Closed = self {
            // As the driver's own sessions are. Else each insert into a replica set would name the time of
            // the one before, and wait until the server has come so far, without a limit.
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
