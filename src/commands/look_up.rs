//! Looks up in MongoDB what it holds under the `_id`s of messages, many at once, as the worker does after a duplicate.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bson::RawDocument;
use log::warn;

use crate::config::Config;
use crate::core::document::{DocumentId, Documents, MessageParts, MessageRules, ReceivedAt};
use crate::core::rejection::Rejection;
use crate::core::write_plan::{ErrorSubject, StoredDocument};
use crate::failure::Failure;
use crate::kafka::ConsumedMessage;
use crate::mongo::MongoDbHandler;
use crate::runtime::{Delays, RetryError, StopSignal, retry};

/// The most documents, and the most bytes of messages, in one look-up.
const MOST_DOCUMENTS: usize = 1000;
const MOST_BYTES: usize = 4 << 20;

/// The messages that wait for the next look-up. `T` is what the caller knows of a message.
pub(super) struct LookUp<'a, T> {
    mongodb: &'a MongoDbHandler,
    rules: Arc<MessageRules>,
    received_at: ReceivedAt,
    documents: Documents,
    waiting: Vec<T>,
    waiting_bytes: usize,
    attempts: u32,
    retry_backoff: Duration,
    stop: StopSignal,
}

/// A message, the document that it becomes, and what MongoDB holds under its `_id`.
pub(super) struct LookedUp<'d, T> {
    pub message: T,
    pub document: &'d RawDocument,
    pub found: StoredDocument,
}

impl<T> LookedUp<'_, T> {
    /// The document's `_id`.
    pub(super) fn id(&self) -> Option<DocumentId<&str>> {
        DocumentId::of(self.document)
    }
}

impl<'a, T> LookUp<'a, T> {
    /// `rules` decide what a document is. `stop` ends the waits between attempts.
    pub(super) fn new(
        config: &Config,
        rules: Arc<MessageRules>,
        mongodb: &'a MongoDbHandler,
        stop: StopSignal,
    ) -> Self {
        Self {
            mongodb,
            rules,
            received_at: ReceivedAt::new(SystemTime::now()),
            documents: Documents::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
            stop,
        }
    }

    /// Adds a message. Gives it back if it can't become a document.
    pub(super) fn add(
        &mut self,
        message: T,
        consumed: &ConsumedMessage<'_>,
    ) -> Result<(), (T, Rejection)> {
        let index = self.waiting.len();
        let parts = MessageParts {
            key: consumed.key(),
            value: consumed.value(),
            partition: consumed.partition(),
            offset: consumed.offset(),
        };
        let pushed = self
            .documents
            .push(index, &parts, &self.rules, &self.received_at);
        if let Err(rejection) = pushed {
            return Err((message, rejection));
        }
        self.waiting.push(message);
        self.waiting_bytes += parts.value.map_or(0, <[u8]>::len);
        Ok(())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether so many messages wait that they should be looked up.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_DOCUMENTS || self.waiting_bytes >= MOST_BYTES
    }

    /// Compares the documents of the waiting messages with those that the primary has, and hands over each, in the
    /// order in which they were added.
    pub(super) fn run(&mut self, mut take: impl FnMut(LookedUp<'_, T>)) -> Result<(), Failure> {
        let indexes: Vec<usize> = self.documents.indexes().collect();
        if indexes.is_empty() {
            return Ok(());
        }
        let documents = self.documents.get_all(&indexes);
        let found = self.find(&documents)?;
        let messages = mem::take(&mut self.waiting);
        for ((message, document), found) in messages.into_iter().zip(documents).zip(found) {
            take(LookedUp {
                message,
                document,
                found,
            });
        }
        self.documents.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn find(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, Failure> {
        let delays = Delays::doubling(self.retry_backoff);
        let found = retry(
            &self.stop,
            delays,
            || {},
            |attempt| {
                self.mongodb.read_back(documents).map_err(|error| {
                if error.subject == ErrorSubject::Operator {
                    return RetryError::Final(Failure::mongodb_refused().because(error.summary));
                }
                if attempt >= self.attempts {
                    return RetryError::Final(Failure::mongodb_unreachable().because(error.summary));
                }
                warn!(attempt; "a look-up in MongoDB failed and is tried again: {}", error.summary);
                RetryError::Again
            })
            },
        )?;
        found.ok_or_else(|| Failure::running("a stop ended the look-up in MongoDB"))
    }
}
