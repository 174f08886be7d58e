//! Judges one message after the other; looks up in MongoDB many at once.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bson::RawDocument;
use bson::raw::RawBsonRef;
use crossbeam_channel::after;
use log::warn;

use super::report::{Problem, Report, Verdict};
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, Indexed};
use crate::core::document::{Documents, ReceivedAt};
use crate::core::partition::{Offset, Partition};
use crate::core::write_plan::{ErrorSubject, StoredDocument};
use crate::failure::Failure;
use crate::mongo::MongoDbHandler;

/// The most documents, and the most bytes of messages, that one look-up is about.
const LOOK_UP: usize = 1000;
const LOOK_UP_BYTES: usize = 4 << 20;

pub(super) struct Auditor<'a> {
    mongodb: &'a MongoDbHandler,
    dead_letters: &'a DeadLetterIndex,
    /// From here on the group may not have come to a message yet.
    committed: BTreeMap<Partition, Offset>,
    received_at: ReceivedAt,
    documents: Documents,
    /// The places of the messages in `documents`.
    waiting: Vec<Place>,
    waiting_bytes: usize,
    report: Report,
    attempts: u32,
    retry_backoff: Duration,
}

#[derive(Clone, Copy)]
struct Place {
    partition: Partition,
    offset: Offset,
}

impl<'a> Auditor<'a> {
    pub(super) fn new(
        config: &Config,
        mongodb: &'a MongoDbHandler,
        dead_letters: &'a DeadLetterIndex,
        committed: BTreeMap<Partition, Offset>,
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
            report: Report::new(&config.kafka.topic, limit),
            attempts: config.consumer.max_retries,
            retry_backoff: config.consumer.retry_backoff,
        }
    }

    /// Messages that have their verdict, and those that wait for it.
    pub(super) fn checked(&self) -> u64 {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.report.counts().checked() + waiting
    }

    pub(super) fn take(
        &mut self,
        partition: Partition,
        offset: Offset,
        value: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let place = Place { partition, offset };
        let index = self.waiting.len();
        match self.documents.push(index, value, &self.received_at) {
            Ok(()) => {
                self.waiting.push(place);
                self.waiting_bytes += value.map_or(0, <[u8]>::len);
                if index + 1 >= LOOK_UP || self.waiting_bytes >= LOOK_UP_BYTES {
                    self.look_up()?;
                }
            }
            Err(rejection) => {
                let verdict = self.without_document(place);
                let cause = format!(
                    "can't be stored ({}), and is not dead-lettered",
                    rejection.reason
                );
                self.note(place, verdict, None, &cause);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Report, Failure> {
        self.look_up()?;
        Ok(self.report)
    }

    /// Compares what waits with what the primary holds.
    fn look_up(&mut self) -> Result<(), Failure> {
        let indexes: Vec<usize> = self.documents.indexes().collect();
        if indexes.is_empty() {
            return Ok(());
        }
        let documents = std::mem::take(&mut self.documents);
        let documents_found = self.find(&documents.get_all(&indexes))?;
        let places = std::mem::take(&mut self.waiting);
        for ((&index, place), found) in indexes.iter().zip(places).zip(documents_found) {
            let verdict = match found {
                StoredDocument::Same => self.stored(place),
                StoredDocument::Absent => self.without_document(place),
                StoredDocument::Different => self.beside_another(place),
            };
            let cause = match found {
                StoredDocument::Different => "another document is stored under its `message_id`",
                StoredDocument::Same | StoredDocument::Absent => {
                    "is neither stored nor dead-lettered"
                }
            };
            let id = || {
                documents
                    .get_all(&[index])
                    .first()
                    .map(|document| id_of(document))
            };
            self.note(place, verdict, id().flatten(), cause);
        }
        self.documents = documents;
        self.documents.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn find(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.mongodb.read_back(documents) {
                Ok(found) => return Ok(found),
                Err(failure) => failure,
            };
            if failure.subject == ErrorSubject::Operator {
                return Err(Failure::mongodb_refused().because(failure.message));
            }
            if attempt >= self.attempts {
                return Err(Failure::mongodb_unreachable().because(failure.message));
            }
            warn!(attempt; "a look-up failed, trying again: {}", failure.message);
            // The time that passes is all that it brings.
            let _ = after(self.retry_backoff * attempt).recv();
            attempt += 1;
        }
    }

    fn stored(&self, place: Place) -> Verdict {
        match self.dead_letter(place) {
            Some(_) => Verdict::Both,
            None => Verdict::Stored,
        }
    }

    /// There is no document of it, or there can't be one.
    fn without_document(&self, place: Place) -> Verdict {
        match self.dead_letter(place) {
            Some(found) => dead_lettered(found),
            None if self.is_pending(place) => Verdict::Pending,
            None => Verdict::Missing,
        }
    }

    /// Whatever the dead letter's reason, the message is safe there, byte for byte.
    fn beside_another(&self, place: Place) -> Verdict {
        match self.dead_letter(place) {
            Some(found) => dead_lettered(found),
            None if self.is_pending(place) => Verdict::Pending,
            None => Verdict::Altered,
        }
    }

    fn dead_letter(&self, place: Place) -> Option<Indexed<'a>> {
        self.dead_letters.find(place.partition, place.offset)
    }

    fn is_pending(&self, place: Place) -> bool {
        self.committed
            .get(&place.partition)
            .is_none_or(|committed| place.offset >= *committed)
    }

    fn note(&mut self, place: Place, verdict: Verdict, message_id: Option<&str>, cause: &str) {
        self.report.note(verdict, |kind| Problem {
            kind,
            partition: place.partition,
            offset: place.offset,
            message_id: message_id.map(str::to_owned),
            cause: cause.to_owned(),
        });
    }
}

fn dead_lettered(found: Indexed<'_>) -> Verdict {
    Verdict::DeadLettered {
        reason: found.reason.to_owned(),
        value_omitted: found.value_omitted,
    }
}

fn id_of(document: &RawDocument) -> Option<&str> {
    match document.get("_id") {
        Ok(Some(RawBsonRef::String(id))) => Some(id),
        Ok(_) | Err(_) => None,
    }
}
