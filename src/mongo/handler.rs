//! The target collection: connecting, checking it, its index, inserting, reading back.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bson::raw::RawBsonRef;
use bson::{RawDocument, RawDocumentBuf, doc};
use log::warn;
use mongodb::IndexModel;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::results::CollectionType;
use mongodb::sync::{Client, Collection};

use super::{InsertSession, classify};
use crate::config::{Config, W};
use crate::core::document::is_same_document;
use crate::core::write_plan::{ErrorSubject, InsertOutcome, StoredDocument, WriteError};

/// The longest that choosing a server may take, and so one attempt to write while there is none.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a look at the collection may take inside the server.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

const URI_ADVICE: &str = "`mongodb.uri` can't be used: it must be \
    mongodb://[user:password@]host[:port][,…]/[?options] with known options and with the special \
    characters of user and password percent-encoded";

/// The index that the specification asks for.
const INDEX_NAME: &str = "created_at_1";
/// `IndexOptionsConflict` and `IndexKeySpecsConflict`: an index like it is there already.
const INDEX_CONFLICTS: [i32; 2] = [85, 86];

/// Writes to one collection; one for all writers, each of which has a connection of its pool.
pub struct MongoDbHandler {
    client: Client,
    collection: Collection<RawDocumentBuf>,
}

/// What kind of deployment answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    Standalone,
    ReplicaSet,
    Sharded,
}

/// Why MongoDB can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MongoDbError {
    /// An operator has to act.
    #[error("{0}")]
    Refused(String),
    /// The same may succeed later.
    #[error("{0}")]
    Unavailable(String),
}

impl MongoDbHandler {
    /// A client for the configured collection. Connects lazily; only a DNS seed list is looked up now.
    ///
    /// # Errors
    /// When the URI can't be understood, or its seed list can't be looked up.
    pub fn connect(config: &Config) -> Result<Self, MongoDbError> {
        let mongodb = &config.mongodb;
        let mut options = ClientOptions::parse(mongodb.uri.expose())
            .run()
            .map_err(|error| match *error.kind {
                ErrorKind::DnsResolve { .. } => MongoDbError::Unavailable(error.to_string()),
                // Not in the driver's words: they may quote a password.
                _ => MongoDbError::Refused(URI_ADVICE.to_owned()),
            })?;
        options
            .app_name
            .get_or_insert_with(|| env!("CARGO_PKG_NAME").to_owned());
        options
            .server_selection_timeout
            .get_or_insert(SERVER_SELECTION_TIMEOUT);
        let connections = u32::try_from(config.consumer.writer_threads).unwrap_or(u32::MAX);
        // Each writer holds one while it inserts; a probe and a look at the collection may come beside.
        options
            .max_pool_size
            .get_or_insert(connections.saturating_add(2));
        options.write_concern = Some(write_concern(config));
        let client = Client::with_options(options)
            .map_err(|error| MongoDbError::Refused(error.to_string()))?;
        let collection = client
            .database(&mongodb.database)
            .collection(&mongodb.collection);
        Ok(Self { client, collection })
    }

    /// Asks the server whether it is there. Bounded by the server selection.
    ///
    /// # Errors
    /// When no server answers, or it refuses us.
    pub fn ping(&self) -> Result<(), MongoDbError> {
        let database = self.client.database("admin");
        database
            .run_command(doc! { "ping": 1 })
            .run()
            .map_err(|error| MongoDbError::of(&error))?;
        Ok(())
    }

    /// Checks that the collection, if it is there, keeps what is inserted, and under its `_id`.
    ///
    /// # Errors
    /// When no server answers, it refuses us, or the collection is not fit.
    pub fn check_target(&self) -> Result<Topology, MongoDbError> {
        let namespace = self.collection.namespace();
        let database = self.client.database(&namespace.db);
        let collections = database
            .list_collections()
            .filter(doc! { "name": &namespace.coll })
            .run()
            .map_err(|error| MongoDbError::of(&error))?;
        for specification in collections {
            let specification = specification.map_err(|error| MongoDbError::of(&error))?;
            let unfit = match specification.collection_type {
                CollectionType::View => Some("is a view"),
                CollectionType::Timeseries => {
                    Some("is a time-series collection: `_id` doesn't make documents unique there")
                }
                _ if specification.options.capped == Some(true) => {
                    Some("is capped: old documents vanish")
                }
                _ => None,
            };
            if let Some(unfit) = unfit {
                return Err(MongoDbError::Refused(format!(
                    "the collection `{namespace}` {unfit}"
                )));
            }
        }
        let topology = self.topology()?;
        let takes_many = topology != Topology::Standalone;
        match self.collection.write_concern().and_then(|concern| concern.w.as_ref()) {
            None | Some(Acknowledgment::Majority | Acknowledgment::Nodes(0 | 1)) => Ok(topology),
            Some(_) if takes_many => Ok(topology),
            Some(_) => Err(MongoDbError::Refused(
                "`mongodb.write_concern.w` asks for more than one node, but the server is a standalone: \
                 every write would be refused; set it to 1"
                    .to_owned(),
            )),
        }
    }

    fn topology(&self) -> Result<Topology, MongoDbError> {
        let hello = self
            .client
            .database("admin")
            .run_command(doc! { "hello": 1 })
            .run()
            .map_err(|error| MongoDbError::of(&error))?;
        Ok(if hello.contains_key("setName") {
            Topology::ReplicaSet
        } else if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
            Topology::Sharded
        } else {
            Topology::Standalone
        })
    }

    /// Creates the index on `created_at` unless it is there. Several workers may do so at once. Takes
    /// as long as the server takes to build it.
    ///
    /// # Errors
    /// When no server answers, or it refuses us.
    pub fn create_indexes(&self) -> Result<(), MongoDbError> {
        if self.has_index()? {
            return Ok(());
        }
        let index = IndexModel::builder().keys(doc! { "created_at": 1 }).build();
        match self.collection.create_index(index).run() {
            Ok(_) => Ok(()),
            Err(error) => match error.kind.as_ref() {
                ErrorKind::Command(command) if INDEX_CONFLICTS.contains(&command.code) => {
                    warn!("an index on `created_at` with other options is there already: it stays");
                    Ok(())
                }
                _ => Err(MongoDbError::of(&error)),
            },
        }
    }

    fn has_index(&self) -> Result<bool, MongoDbError> {
        match self.collection.list_index_names().run() {
            Ok(names) => Ok(names.iter().any(|name| name == INDEX_NAME)),
            // NamespaceNotFound: there is no collection yet.
            Err(error) if matches!(error.kind.as_ref(), ErrorKind::Command(c) if c.code == 26) => {
                Ok(false)
            }
            Err(error) => Err(MongoDbError::of(&error)),
        }
    }

    /// Inserts documents, unordered, and waits for the write concern.
    #[must_use]
    pub fn insert_batch(
        &self,
        documents: &[&RawDocument],
        session: &mut InsertSession,
    ) -> InsertOutcome {
        let collection = self.collection.clone_with_type::<&RawDocument>();
        let result = session.run(&self.client, |session| {
            let insert = collection.insert_many(documents).ordered(false);
            match session {
                Some(session) => insert.session(session).run(),
                None => insert.run(),
            }
        });
        let outcome = match result {
            Ok(_) => InsertOutcome::Answered(Vec::new()),
            Err(error) => classify::insert_outcome(&error),
        };
        if let InsertOutcome::Failed(_) = outcome {
            // A connection may have broken: not to be used again.
            session.close();
        }
        outcome
    }

    /// Looks up what the primary holds under the `_id`s of `documents`, and compares.
    ///
    /// # Errors
    /// What the server, or the way to it, had to say.
    pub fn read_back(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, WriteError> {
        let ids = documents
            .iter()
            .map(|document| id_of(document))
            .collect::<Vec<_>>();
        let filter = doc! { "_id": { "$in": &ids } };
        let look = || -> Result<HashMap<String, RawDocumentBuf>, Error> {
            let cursor = self
                .collection
                .find(filter)
                // Whatever the URI prefers: a secondary may not have it yet.
                .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
                // A write that is acknowledged by fewer is to be seen, too.
                .read_concern(ReadConcern::local())
                .max_time(LOOK_TIMEOUT)
                .run()?;
            cursor
                .map(|stored| stored.map(|stored| (id_of(&stored).to_owned(), stored)))
                .collect()
        };
        let stored = look().map_err(|error| classify::write_error(&error))?;
        let found = documents
            .iter()
            .zip(&ids)
            .map(|(document, id)| match stored.get(*id) {
                None => StoredDocument::Absent,
                Some(stored) if is_same_document(stored, document) => StoredDocument::Same,
                Some(_) => StoredDocument::Different,
            });
        Ok(found.collect())
    }
}

impl MongoDbError {
    fn of(error: &Error) -> Self {
        let failure = classify::write_error(error);
        match failure.subject {
            ErrorSubject::Operator => Self::Refused(failure.message),
            _ => Self::Unavailable(failure.message),
        }
    }
}

impl fmt::Debug for MongoDbHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoDbHandler")
            .field("namespace", &self.collection.namespace())
            .finish_non_exhaustive()
    }
}

/// Our documents' `_id` is a string; anything else is another's document.
fn id_of(document: &RawDocument) -> &str {
    match document.get("_id") {
        Ok(Some(RawBsonRef::String(id))) => id,
        _ => "",
    }
}

fn write_concern(config: &Config) -> WriteConcern {
    let ours = &config.mongodb.write_concern;
    let acknowledgment = match &ours.w {
        W::Nodes(nodes) => Acknowledgment::Nodes(*nodes),
        W::Majority => Acknowledgment::Majority,
        W::Tag(tag) => Acknowledgment::Custom(tag.clone()),
    };
    WriteConcern::builder()
        .w(acknowledgment)
        .journal(ours.journal)
        .build()
}
