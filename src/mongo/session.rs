//! A driver's session that the inserts of one thread share. Without it the driver takes a session out of
//! its pool for every insert and spawns a task to put it back: with small batches a tenth of the worker's
//! CPU time.

use mongodb::error::Result;
use mongodb::sync::{Client, ClientSession};

use super::classify;

/// For one thread. Between two inserts it keeps its session of the server.
#[derive(Default)]
pub struct InsertSession {
    session: Option<ClientSession>,
    /// The server knows no sessions: the driver fails where one is given, and does without where none is.
    is_unsupported: bool,
}

impl InsertSession {
    /// Gives the session back. One that nobody uses for half an hour ends in the server.
    pub fn close(&mut self) {
        self.session = None;
    }

    /// Runs `insert` with the session, and once more without where the server knows none.
    pub(super) fn run<T>(
        &mut self,
        client: &Client,
        insert: impl Fn(Option<&mut ClientSession>) -> Result<T>,
    ) -> Result<T> {
        if self.session.is_none() && !self.is_unsupported {
            // Asks no server.
            self.session = client.start_session().run().ok();
        }
        match insert(self.session.as_mut()) {
            Err(error) if classify::needs_no_session(&error) => {
                self.is_unsupported = true;
                self.close();
                insert(None)
            }
            result => result,
        }
    }
}
