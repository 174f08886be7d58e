//! The target collection: connects to MongoDB, inserts documents.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::sync::{Client, Collection};

use super::heartbeats::Heartbeats;
use super::turn::Turn;
use super::{InsertSession, classify};
use crate::config::{Config, Index, W};
use crate::core::write_plan::{ErrorSubject, InsertOutcome, WriteError};

/// The longest time to select a server. It limits an attempt to write while no server is available.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that the server may wait for a write concern, unless the URI has another `wtimeoutMS`.
const WRITE_CONCERN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that the server may spend on a query.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

const URI_ADVICE: &str = "`mongodb.uri` is not valid: it must be \
    mongodb://[user:password@]host[:port][,…]/[?options] with known options, and special characters in \
    user and password must be percent-encoded";

/// What else may be the cause where MongoDB accepts connections and closes them without a word.
const CLOSED_ADVICE: &str = "; it closes each connection at once: see whether `tls=true` belongs into `mongodb.uri`, and \
    whether it demands a certificate of the worker (`tlsCertificateKeyFile`)";

/// Writes to one collection. All writers share it; each uses a connection of its pool.
pub struct MongoDbHandler {
    pub(super) client: Client,
    pub(super) collection: Collection<RawDocumentBuf>,
    /// The indexes that the configuration asks for.
    pub(super) indexes: Vec<Index>,
    heartbeats: Arc<Heartbeats>,
    /// The server has answered an insert for each document, so it has accepted the credentials.
    has_accepted_us: AtomicBool,
    pub(super) read_back_turn: Turn,
}

/// Why MongoDB can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MongoDbError {
    /// An operator must act.
    #[error("{0}")]
    Refused(String),
    /// The same call may succeed later.
    #[error("{0}")]
    Unavailable(String),
}

impl MongoDbHandler {
    /// Creates a client for the configured collection. It connects at its first command. Only the DNS seed
    /// list of a `mongodb+srv` URI is looked up here. Fails if the URI is not valid, or its seed list can't
    /// be looked up.
    pub fn connect(config: &Config) -> Result<Self, MongoDbError> {
        let mongodb = &config.mongodb;
        let mut options = ClientOptions::parse(mongodb.uri.expose())
            .run()
            .map_err(|error| {
                if classify::is_dns_failure(&error) {
                    MongoDbError::Unavailable(classify::write_error(&error).summary)
                } else {
                    // The driver's message isn't used because it may quote a password.
                    MongoDbError::Refused(URI_ADVICE.to_owned())
                }
            })?;
        options
            .app_name
            .get_or_insert_with(|| env!("CARGO_PKG_NAME").to_owned());
        options
            .server_selection_timeout
            .get_or_insert(SERVER_SELECTION_TIMEOUT);
        let connections = u32::try_from(config.consumer.writer_threads).unwrap_or(u32::MAX);
        // One connection for each writer, and two for other commands, such as the checks of the collection.
        options
            .max_pool_size
            .get_or_insert(connections.saturating_add(2));
        let timeout = options
            .write_concern
            .take()
            .and_then(|concern| concern.w_timeout);
        options.write_concern = Some(write_concern(config, timeout));
        let heartbeats = Heartbeats::watch(&mut options);
        let client = Client::with_options(options)
            .map_err(|error| MongoDbError::Refused(classify::write_error(&error).summary))?;
        let collection = client
            .database(&mongodb.database)
            .collection(&mongodb.collection);
        Ok(Self {
            client,
            collection,
            indexes: mongodb.indexes.clone(),
            heartbeats,
            has_accepted_us: AtomicBool::new(false),
            read_back_turn: Turn::default(),
        })
    }

    /// Checks that a server answers. Takes no longer than the server selection. Fails if no server answers,
    /// or the server refuses the command.
    pub fn ping(&self) -> Result<(), MongoDbError> {
        self.check_servers()?;
        let pong = self.send_ping();
        pong.map_err(|error| self.error(&error))
    }

    /// Finds out whether a server answers again after an outage. Takes no longer than the server selection.
    pub fn probe(&self) -> Result<(), WriteError> {
        self.send_ping().map_err(|error| self.write_error(&error))
    }

    fn send_ping(&self) -> Result<(), Error> {
        let database = self.client.database("admin");
        database.run_command(doc! { "ping": 1 }).run().map(drop)
    }

    /// Fails if a certificate or the name of the replica set is why no server can be used. A command would find no server,
    /// but only after the server selection's time limit.
    pub(super) fn check_servers(&self) -> Result<(), MongoDbError> {
        match self.heartbeats.first_fault() {
            Some(fault) => Err(MongoDbError::Refused(fault)),
            None => Ok(()),
        }
    }

    /// Inserts the documents in any order, and waits for the write concern.
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
            Err(error) => match classify::insert_outcome(&error) {
                InsertOutcome::Failed(_) => {
                    let mut judged = self.write_error(&error);
                    if classify::is_missing_privilege(&error) {
                        judged.summary =
                            needs_privilege("insert", &self.namespace(), &judged.summary);
                    }
                    InsertOutcome::Failed(judged)
                }
                answered @ InsertOutcome::Answered(_) => answered,
            },
        };
        match outcome {
            InsertOutcome::Answered(_) => self.has_accepted_us.store(true, Ordering::Relaxed),
            // The connection may be broken, so the session must not be used again.
            InsertOutcome::Failed(_) => session.close(),
        }
        outcome
    }

    /// Classifies an error of a whole command. Credentials and certificates that the server accepted before are probably
    /// right, and what doesn't fit about a server now may be a step of its maintenance.
    pub(super) fn write_error(&self, error: &Error) -> WriteError {
        let (mut judged, is_fault_of_server) = self.judge(error);
        if judged.subject == ErrorSubject::Operator
            && (is_fault_of_server || classify::is_authentication_failure(error))
            && self.has_accepted_us.load(Ordering::Relaxed)
        {
            judged.subject = ErrorSubject::CredentialsAcceptedBefore;
        }
        judged
    }

    /// The error of a command that isn't about documents.
    pub(super) fn error(&self, error: &Error) -> MongoDbError {
        MongoDbError::of(self.judge(error).0)
    }

    /// The same, of a command that needs the privilege `action` on `resource`.
    pub(super) fn error_without(
        &self,
        action: &str,
        resource: &str,
        error: &Error,
    ) -> MongoDbError {
        if classify::is_missing_privilege(error) {
            let summary = classify::write_error(error).summary;
            return MongoDbError::Refused(needs_privilege(action, resource, &summary));
        }
        self.error(error)
    }

    /// The error, and whether something about the servers is the cause: a certificate, a version, a replica set.
    fn judge(&self, error: &Error) -> (WriteError, bool) {
        if let Some(fault) = classify::unfit_version(error) {
            return (classify::operator_fault(fault), true);
        }
        if classify::has_no_server(error)
            && let Some(fault) = self.heartbeats.fault()
        {
            return (classify::operator_fault(fault), true);
        }
        let is_fault_of_server = classify::certificate_fault(error).is_some();
        let mut judged = classify::write_error(error);
        if classify::has_no_server(error)
            && self.heartbeats.are_all_closed()
            && !self.has_accepted_us.load(Ordering::Relaxed)
        {
            judged.message.push_str(CLOSED_ADVICE);
        }
        (judged, is_fault_of_server)
    }
}

impl MongoDbError {
    /// An error of a command that isn't about documents. If the server answered, and the answer isn't known to pass
    /// by itself, then an operator must act.
    fn of(failure: WriteError) -> Self {
        match failure.subject {
            ErrorSubject::Operator | ErrorSubject::CredentialsAcceptedBefore => {
                Self::Refused(failure.message)
            }
            ErrorSubject::Server => Self::Unavailable(failure.message),
            // An index can't be built because of a document, and the server's words may quote it.
            ErrorSubject::Duplicate | ErrorSubject::Record => match failure.code {
                Some(_) => Self::Refused(failure.summary),
                None => Self::Unavailable(failure.summary),
            },
            ErrorSubject::Unknown => match failure.code {
                Some(code) => Self::Refused(format!("{} (code {code})", failure.message)),
                None => Self::Unavailable(failure.message),
            },
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

/// Without the server's words, which quote the command.
fn needs_privilege(action: &str, resource: &str, summary: &str) -> String {
    format!("the user needs the privilege `{action}` on `{resource}`: {summary}")
}

/// The configured write concern. Without a timeout the server would wait without a limit for a write concern that it
/// can't satisfy. 0 in the URI means the same as no timeout, so it isn't used.
fn write_concern(config: &Config, timeout_of_uri: Option<Duration>) -> WriteConcern {
    let configured = &config.mongodb.write_concern;
    let acknowledgment = match &configured.w {
        W::Nodes(nodes) => Acknowledgment::Nodes(*nodes),
        W::Majority => Acknowledgment::Majority,
        W::Tag(tag) => Acknowledgment::Custom(tag.clone()),
    };
    WriteConcern::builder()
        .w(acknowledgment)
        .journal(configured.journal)
        .w_timeout(
            timeout_of_uri
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(WRITE_CONCERN_TIMEOUT),
        )
        .build()
}
