//! One writer's access to the collection.

use std::sync::Arc;

use bson::RawDocument;

use crate::core::write_plan::{InsertOutcome, StoredDocument, WriteError};
use crate::mongo::{InsertSession, MongoDbHandler};

/// What a writer needs of MongoDB. Each writer has one of its own.
pub trait Inserter: Send {
    /// Inserts documents, unordered, and waits for the write concern.
    fn insert(&mut self, documents: &[&RawDocument]) -> InsertOutcome;
    /// Reads what MongoDB holds under the `_id`s of these documents, in their order.
    fn read_back(&mut self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, WriteError>;
    /// Asks whether a server answers.
    fn ping(&mut self) -> Result<(), WriteError>;
    /// The writer has nothing to do: releases what only a busy writer needs.
    fn idle(&mut self);
}

/// The collection in MongoDB, with a driver session of the writer's own.
pub struct MongoDbInserter {
    handler: Arc<MongoDbHandler>,
    session: InsertSession,
}

impl MongoDbInserter {
    pub fn new(handler: Arc<MongoDbHandler>) -> Self {
        Self {
            handler,
            session: InsertSession::default(),
        }
    }
}

impl Inserter for MongoDbInserter {
    fn insert(&mut self, documents: &[&RawDocument]) -> InsertOutcome {
        self.handler.insert_batch(documents, &mut self.session)
    }

    fn read_back(&mut self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, WriteError> {
        self.handler.read_back(documents)
    }

    fn ping(&mut self) -> Result<(), WriteError> {
        self.handler.probe()
    }

    fn idle(&mut self) {
        self.session.close();
    }
}
