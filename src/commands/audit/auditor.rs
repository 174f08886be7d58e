//! Determines the status of each message.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use super::report::{MessageStatus, Problem, Report};
use crate::cli::PartitionOffset;
use crate::commands::look_up::LookUp;
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, IndexedDeadLetter, LetterFound};
use crate::core::document::DocumentId;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::write_plan::StoredDocument;
use crate::failure::Failure;
use crate::kafka::ConsumedMessage;
use crate::mongo::MongoDbHandler;

/// `S` makes the hashes by which the index knows messages.
pub(super) struct Auditor<'a, S> {
    dead_letters: &'a DeadLetterIndex<S>,
    look_up: LookUp<'a, AuditedMessage<'a>>,
    verdicts: Verdicts,
}

/// What the audit says of each message.
struct Verdicts {
    /// The offsets that the group has committed. A message at or above them may not be processed yet.
    committed: BTreeMap<TopicPartition, Offset>,
    report: Report,
}

/// A message, and what the dead letter topic holds of it.
#[derive(Clone, Copy)]
struct AuditedMessage<'a> {
    place: PartitionOffset,
    letter: LetterFound<'a>,
}

impl<'a, S: BuildHasher> Auditor<'a, S> {
    pub(super) fn new(
        config: &'a Config,
        mongodb: &'a MongoDbHandler,
        dead_letters: &'a DeadLetterIndex<S>,
        committed: BTreeMap<TopicPartition, Offset>,
        limit: usize,
    ) -> Self {
        Self {
            dead_letters,
            look_up: LookUp::new(config, mongodb),
            verdicts: Verdicts {
                committed,
                report: Report::new(&config.kafka.topic, limit, dead_letters.other_groups()),
            },
        }
    }

    /// The number of messages read: those in the report, and those that wait for the next look-up.
    pub(super) fn checked(&self) -> u64 {
        let waiting = u64::try_from(self.look_up.waiting()).unwrap_or(u64::MAX);
        self.verdicts.report.counts().checked() + waiting
    }

    /// Adds one message. Looks up the waiting ones if there are enough.
    pub(super) fn add(&mut self, message: &ConsumedMessage<'_>) -> Result<(), Failure> {
        let (partition, offset) = (message.partition(), message.offset());
        let value = message.value();
        let letter = self
            .dead_letters
            .find(partition, offset, message.timestamp(), value);
        let audited = AuditedMessage {
            place: PartitionOffset { partition, offset },
            letter,
        };
        match self.look_up.add(audited, message) {
            Ok(()) if self.look_up.is_full() => self.look_up(),
            Ok(()) => Ok(()),
            Err((message, rejection)) => {
                let status = self.verdicts.status_without_document(message);
                let cause = format!("can't be stored ({}), and", rejection.reason);
                self.verdicts.report(message, status, None, &cause);
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Report, Failure> {
        self.look_up()?;
        Ok(self.verdicts.report)
    }

    /// Compares the waiting messages with the documents that the primary has.
    fn look_up(&mut self) -> Result<(), Failure> {
        let verdicts = &mut self.verdicts;
        self.look_up.run(|looked_up| {
            let message = looked_up.message;
            let status = match looked_up.found {
                StoredDocument::Same => status_with_same_document(message),
                StoredDocument::Absent => verdicts.status_without_document(message),
                StoredDocument::Different | StoredDocument::EqualId => {
                    verdicts.status_with_other_document(message)
                }
            };
            let cause = match looked_up.found {
                StoredDocument::Different => {
                    "another document is stored under its `_id`, and it"
                }
                StoredDocument::EqualId => {
                    "another document is stored under an `_id` that MongoDB takes for its own, and it"
                }
                StoredDocument::Same | StoredDocument::Absent => "is not stored, and",
            };
            verdicts.report(message, status, looked_up.id(), cause);
        })
    }
}

impl Verdicts {
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
        id: Option<DocumentId<&str>>,
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
            id: id.map(|id| id.to_owned()),
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
