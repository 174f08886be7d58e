//! Determines the status of each message.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::repairs::{Candidate, Repairs};
use super::report::{MessageStatus, Problem, Report};
use crate::cli::PartitionOffset;
use crate::commands::look_up::LookUp;
use crate::config::Config;
use crate::core::dead_letter::{DeadLetterIndex, IndexedDeadLetter, LetterFound};
use crate::core::document::DocumentId;
use crate::core::partition::{Offset, TopicPartition};
use crate::core::write_plan::StoredDocument;
use crate::failure::Failure;
use crate::kafka::{ConsumedMessage, Ranges};
use crate::mongo::MongoDbHandler;
use crate::runtime::StopSignal;

/// `S` makes the hashes by which the index knows messages.
pub(super) struct Auditor<'a, S> {
    dead_letters: &'a DeadLetterIndex<S>,
    look_up: LookUp<'a, AuditedMessage<'a>>,
    verdicts: Verdicts,
    repairs: Repairs,
    /// In each partition, the offset below which every message was added.
    positions: BTreeMap<TopicPartition, Offset>,
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
    /// The message's copy, if it may be missing and is to be repaired then.
    candidate: Option<Candidate>,
}

impl<'a, S: BuildHasher> Auditor<'a, S> {
    pub(super) fn new(
        config: &'a Config,
        mongodb: &'a MongoDbHandler,
        dead_letters: &'a DeadLetterIndex<S>,
        committed: BTreeMap<TopicPartition, Offset>,
        limit: usize,
        repairs: Repairs,
        stop: StopSignal,
    ) -> Self {
        // A message that the schema of today rejects may have been stored under another one.
        let rules = Arc::new(config.message.rules.without_json_schema());
        Self {
            dead_letters,
            look_up: LookUp::new(config, rules, mongodb, stop),
            verdicts: Verdicts {
                committed,
                report: Report::new(&config.kafka.topic, limit, dead_letters.other_groups()),
            },
            repairs,
            positions: BTreeMap::new(),
        }
    }

    /// The number of messages read: those in the report, and those that wait for the next look-up.
    pub(super) fn checked(&self) -> u64 {
        let waiting = u64::try_from(self.look_up.waiting()).unwrap_or(u64::MAX);
        self.verdicts.report.counts().checked() + waiting
    }

    /// The number of offsets that were passed since the beginning of these ranges: more than messages where there are
    /// gaps.
    pub(super) fn passed(&self, ranges: &Ranges) -> u64 {
        let passed = |(partition, position): (&TopicPartition, &Offset)| {
            let range = ranges.get(partition)?;
            Some(position.since(range.start))
        };
        self.positions.iter().filter_map(passed).sum()
    }

    /// A phrase for the progress.
    pub(super) fn repair_progress(&self) -> String {
        self.repairs.progress()
    }

    /// Adds one message. Looks up the waiting ones if there are enough.
    pub(super) fn add(&mut self, message: &ConsumedMessage<'_>) -> Result<(), Failure> {
        let (partition, offset) = (message.partition(), message.offset());
        let value = message.value();
        let letter = self
            .dead_letters
            .find(partition, offset, message.timestamp(), value);
        let mut audited = AuditedMessage {
            place: PartitionOffset { partition, offset },
            letter,
            candidate: None,
        };
        if self.verdicts.status_without_document(audited) == MessageStatus::Missing {
            audited.candidate = self.repairs.keep(message);
        }
        self.positions.insert(partition, offset.next());
        if let Err((message, rejection)) = self.look_up.add(audited, message) {
            let status = self.verdicts.status_without_document(message);
            if status == MessageStatus::Missing {
                let candidate = message.candidate;
                self.repairs.found_missing(partition, candidate, false);
            }
            let cause = format!("can't be stored ({}), and", rejection.reason);
            self.verdicts.report(message, status, None, &cause);
        }
        if self.look_up.is_full() || self.repairs.is_full() {
            self.look_up()?;
        }
        Ok(())
    }

    /// The end of the audit. `result` is an error if not all of `ranges` was added. A repair settles what it has taken
    /// even then.
    pub(super) fn finish(
        mut self,
        result: Result<(), Failure>,
        ranges: &Ranges,
    ) -> (Report, Result<(), Failure>) {
        let result = result.and_then(|()| {
            let ends = ranges
                .iter()
                .map(|(&partition, range)| (partition, range.end));
            self.positions.extend(ends);
            self.look_up()
        });
        let (repair, result) = self.repairs.finish(result.err(), ranges);
        let mut report = self.verdicts.report;
        report.set_repair(repair);
        (report, result)
    }

    /// Compares the waiting messages with the documents that the primary has, and repairs what is missing.
    fn look_up(&mut self) -> Result<(), Failure> {
        let Self {
            look_up,
            verdicts,
            repairs,
            ..
        } = self;
        look_up.run(|looked_up| {
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
            if status == MessageStatus::Missing {
                repairs.found_missing(message.place.partition, message.candidate, true);
            }
            verdicts.report(message, status, looked_up.id(), cause);
        })?;
        repairs.store(&self.positions)
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
