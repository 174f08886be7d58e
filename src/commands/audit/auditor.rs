//! Determines the status of each message. It looks up many messages at once in MongoDB.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime};

use bson::RawDocument;
use bson::raw::RawBsonRef;
use log::warn;

use super::report::{MessageStatus, Problem, Report};
use crate::cli::PartitionOffset;
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, IndexedDeadLetter, LetterFound};
use crate::core::document::{Documents, ReceivedAt};
use crate::core::partition::{Offset, TopicPartition};
use crate::core::write_plan::{ErrorSubject, StoredDocument};
use crate::failure::Failure;
use crate::kafka::ConsumedMessage;
use crate::mongo::MongoDbHandler;
use crate::runtime::{Delays, RetryError, StopSignal, retry};

/// The most documents, and the most bytes of messages, in one look-up.
const MAX_LOOK_UP: usize = 1000;
const MAX_LOOK_UP_BYTES: usize = 4 << 20;

/// `S` makes the hashes by which the index knows messages.
pub(super) struct Auditor<'a, S> {
    mongodb: &'a MongoDbHandler,
    dead_letters: &'a DeadLetterIndex<S>,
    /// The offsets that the group has committed. A message at or above them may not be processed yet.
    committed: BTreeMap<TopicPartition, Offset>,
    received_at: ReceivedAt,
    documents: Documents,
    /// The messages in `documents`, which wait for the next look-up.
    waiting: Vec<AuditedMessage<'a>>,
    waiting_bytes: usize,
    report: Report,
    attempts: u32,
    retry_backoff: Duration,
}

/// A message, and what the dead letter topic holds of it.
#[derive(Clone, Copy)]
struct AuditedMessage<'a> {
    place: PartitionOffset,
    letter: LetterFound<'a>,
}

impl<'a, S: BuildHasher> Auditor<'a, S> {
    pub(super) fn new(
        config: &Config,
        mongodb: &'a MongoDbHandler,
        dead_letters: &'a DeadLetterIndex<S>,
        committed: BTreeMap<TopicPartition, Offset>,
        limit: usize,
    ) -> Self {
        Self {
            mongodb,
            dead_letters,
            committed,
            received_at: ReceivedAt::new(SystemTime::now()),
            documents: Documents::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            report: Report::new(&config.kafka.topic, limit, dead_letters.other_groups()),
            attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
        }
    }

    /// The number of messages read: those in the report, and those that wait for the next look-up.
    pub(super) fn checked(&self) -> u64 {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.report.counts().checked() + waiting
    }

    /// Adds one message. Looks up the waiting ones if there are enough.
    pub(super) fn add(&mut self, message: &ConsumedMessage<'_>) -> Result<(), Failure> {
        let (partition, offset) = (message.partition(), message.offset());
        let value = message.value();
        let letter = self
            .dead_letters
            .find(partition, offset, message.timestamp(), value);
        let message = AuditedMessage {
            place: PartitionOffset { partition, offset },
            letter,
        };
        let index = self.waiting.len();
        match self.documents.push(index, value, &self.received_at) {
            Ok(()) => {
                self.waiting.push(message);
                self.waiting_bytes += value.map_or(0, <[u8]>::len);
                if index + 1 >= MAX_LOOK_UP || self.waiting_bytes >= MAX_LOOK_UP_BYTES {
                    self.look_up()?;
                }
            }
            Err(rejection) => {
                let status = self.status_without_document(message);
                let cause = format!("can't be stored ({}), and", rejection.reason);
                self.report(message, status, None, &cause);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Report, Failure> {
        self.look_up()?;
        Ok(self.report)
    }

    /// Compares the waiting messages with the documents that the primary has.
    fn look_up(&mut self) -> Result<(), Failure> {
        let indexes: Vec<usize> = self.documents.indexes().collect();
        if indexes.is_empty() {
            return Ok(());
        }
        let documents = std::mem::take(&mut self.documents);
        let documents_found = self.find(&documents.get_all(&indexes))?;
        let messages = std::mem::take(&mut self.waiting);
        for ((&index, message), found) in indexes.iter().zip(messages).zip(documents_found) {
            let status = match found {
                StoredDocument::Same => status_with_same_document(message),
                StoredDocument::Absent => self.status_without_document(message),
                StoredDocument::Different | StoredDocument::EqualId => {
                    self.status_with_other_document(message)
                }
            };
            let cause = match found {
                StoredDocument::Different => {
                    "another document is stored under its `message_id`, and it"
                }
                StoredDocument::EqualId => {
                    "another document is stored under an `_id` that the collation takes for its `message_id`, and it"
                }
                StoredDocument::Same | StoredDocument::Absent => "is not stored, and",
            };
            let id = || {
                documents
                    .get_all(&[index])
                    .first()
                    .map(|document| id_of(document))
            };
            self.report(message, status, id().flatten(), cause);
        }
        self.documents = documents;
        self.documents.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn find(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, Failure> {
        // A stop that nobody asks for: a signal ends an audit at once.
        let stop = StopSignal::new();
        let delays = Delays::doubling(self.retry_backoff);
        let found = retry(
            &stop,
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
        Ok(found.expect("invariant: nobody asks for this stop"))
    }

    /// The status of a message that has no document in MongoDB, or can't become one.
    fn status_without_document(&self, message: AuditedMessage<'_>) -> MessageStatus {
        self.status_by_letter(message, MessageStatus::Missing)
    }

    /// The status of a message whose `_id` belongs to a different document. A dead letter of it counts
    /// whatever its reason is, because it has the message's value byte for byte.
    fn status_with_other_document(&self, message: AuditedMessage<'_>) -> MessageStatus {
        self.status_by_letter(message, MessageStatus::Altered)
    }

    fn status_by_letter(
        &self,
        message: AuditedMessage<'_>,
        without_letter: MessageStatus,
    ) -> MessageStatus {
        match message.letter {
            LetterFound::Yes(letter) => dead_lettered(letter),
            LetterFound::No | LetterFound::OfAnotherMessage if self.is_pending(message.place) => {
                MessageStatus::Pending
            }
            LetterFound::No | LetterFound::OfAnotherMessage => without_letter,
        }
    }

    fn is_pending(&self, place: PartitionOffset) -> bool {
        self.committed
            .get(&place.partition)
            .is_none_or(|committed| place.offset >= *committed)
    }

    /// `cause` is the first half of a sentence. The second half is added here: what the dead letter topic holds.
    fn report(
        &mut self,
        message: AuditedMessage<'_>,
        status: MessageStatus,
        message_id: Option<&str>,
        cause: &str,
    ) {
        let place = message.place;
        let letter = match message.letter {
            LetterFound::No | LetterFound::Yes(_) => "is not dead-lettered",
            LetterFound::OfAnotherMessage => {
                "is not dead-lettered: the dead letter for its partition and offset belongs to another message"
            }
        };
        self.report.add(status, |kind| Problem {
            kind,
            partition: place.partition,
            offset: place.offset,
            message_id: message_id.map(str::to_owned),
            cause: format!("{cause} {letter}"),
        });
    }
}

fn status_with_same_document(message: AuditedMessage<'_>) -> MessageStatus {
    match message.letter {
        LetterFound::Yes(_) => MessageStatus::Both,
        LetterFound::No | LetterFound::OfAnotherMessage => MessageStatus::Stored,
    }
}

fn dead_lettered(letter: IndexedDeadLetter<'_>) -> MessageStatus {
    MessageStatus::DeadLettered {
        reason: letter.reason.to_owned(),
        value_omitted: letter.value_omitted,
    }
}

fn id_of(document: &RawDocument) -> Option<&str> {
    match document.get("_id") {
        Ok(Some(RawBsonRef::String(id))) => Some(id),
        Ok(_) | Err(_) => None,
    }
}
