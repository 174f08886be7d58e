//! What `check` asks beside the worker's own checks. It only reads.

use std::time::Duration;

use bson::doc;

use super::privileges::Privileges;
use super::{MongoDbError, MongoDbHandler};

/// The longest time that the server may spend on counting the documents. It counts by the collection's metadata.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who the client is to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// The client has not logged in, and the server lets it work nevertheless.
    WithoutLogin,
    LoggedIn {
        user: String,
        /// The actions that the worker needs and the user lacks.
        missing: Vec<&'static str>,
    },
    /// The server doesn't tell the privileges.
    Unknown,
}

/// What a server says it is.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// The version of MongoDB that it is, or that it imitates.
    pub mongodb: String,
    /// The version of FerretDB that it is.
    pub ferretdb: Option<String>,
}

impl ServerVersion {
    /// What an operator should know of a server that is no MongoDB.
    pub fn warning(&self) -> Option<String> {
        let version = self.ferretdb.as_ref()?;
        Some(format!(
            "the server is FerretDB {version} and no MongoDB: it stores -0.0 as 0.0, may ignore `mongodb.write_concern`, and \
             is slow where messages are stored already; docs/COMPATIBILITY.md has the rest"
        ))
    }
}

impl MongoDbHandler {
    /// `database.collection`.
    pub fn namespace(&self) -> String {
        self.collection.namespace().to_string()
    }

    pub fn server_version(&self) -> Result<ServerVersion, MongoDbError> {
        let answer = self.ask_admin(doc! { "buildInfo": 1 })?;
        let text = |name| answer.get_str(name).ok().map(str::to_owned);
        Ok(ServerVersion {
            mongodb: text("version").unwrap_or_else(|| "unknown".to_owned()),
            ferretdb: text("ferretdbVersion"),
        })
    }

    /// The rights of the client. With all indexes present, the right to create them isn't needed.
    pub fn rights(&self, has_indexes: bool) -> Result<Rights, MongoDbError> {
        let answer = self.ask_admin(doc! { "connectionStatus": 1, "showPrivileges": true })?;
        let Some(privileges) = Privileges::of(&answer) else {
            return Ok(Rights::Unknown);
        };
        let users = privileges.users();
        if users.is_empty() {
            return Ok(Rights::WithoutLogin);
        }
        let namespace = self.collection.namespace();
        Ok(Rights::LoggedIn {
            user: users.join(", "),
            missing: privileges.missing(&namespace.db, &namespace.coll, has_indexes),
        })
    }

    /// About how many documents the collection has.
    pub fn estimated_count(&self) -> Result<u64, MongoDbError> {
        let count = self
            .collection
            .estimated_document_count()
            .max_time(COUNT_TIMEOUT)
            .run();
        count.map_err(|error| self.error(&error))
    }
}
