//! Every record of a batch gets exactly one end, whatever the server, the dead letter producer, a revoke, a stop
//! or a panic does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::RawDocument;
use proptest::prelude::*;

use super::batch_limit::BatchLimit;
use super::dead_letters::{DeadLetterSink, DeadLetters};
use super::flood_guard::FloodGuard;
use super::inserter::Inserter;
use super::observer::StoreObserver;
use super::outage::OutageTracker;
use super::queue::batch_queue;
use super::stage::Stage;
use super::writer::Writer;
use crate::commit::{
    CommitObserver, CommitterHandle, CommitterMessage, Dispatcher, Outcome, Ownership,
};
use crate::core::availability::OutagePolicy;
use crate::core::batch_limit::BatchRange;
use crate::core::dead_letter::ConsumerIdentity;
use crate::core::partition::{Offset, RecordId, TopicPartition};
use crate::core::record::{Batch, Timestamp, Weight};
use crate::core::record_run::RecordRun;
use crate::core::write_plan::{ErrorSubject, InsertOutcome, StoredDocument, WriteError};
use crate::kafka::{Assignment, DeadLetter, DeliveryListener, SendError, Undeliverable};
use crate::runtime::{ProcessEvents, StopSignal};

/// How MongoDB, or the worker, treats a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    AlreadyStored,
    Conflict,
    RejectedAlone,
    /// Makes the server refuse the whole command.
    SpoilsItsCommand,
    /// Refused with a code that isn't in the table.
    Unknown,
    InvalidJson,
}

/// What happens at one call of the inserter.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Works,
    ServerFails,
    ServerFailsAtSome,
    /// The command is refused with a code that isn't in the table.
    UnknownFault,
    RevokesFirstPartition,
    RevokesAll,
    Stops,
    StopsAtOnce,
    Panics,
}

/// What the dead letter producer does with one letter.
#[derive(Debug, Clone, Copy)]
enum Delivery {
    AtOnce,
    Later,
    NeverTold,
    Undeliverable,
    NoRoomOnce,
    Refused,
}

/// Simulates the server, the group and the stop for one batch.
struct Model {
    fates: Vec<Fate>,
    turns: Vec<Turn>,
    assignment: Arc<Assignment>,
    stop: StopSignal,
}

impl Model {
    /// The index of a record, which its `_id` names.
    fn index(document: &RawDocument) -> usize {
        let id = document.get_str("_id").unwrap();
        id.strip_prefix("id-").unwrap().parse().unwrap()
    }

    fn next_turn(&mut self) -> Turn {
        let turn = self.turns.pop().unwrap_or(Turn::Works);
        match turn {
            Turn::RevokesFirstPartition => self.assignment.end(TopicPartition::consumed(0)),
            Turn::RevokesAll => {
                (0..2).for_each(|p| self.assignment.end(TopicPartition::consumed(p)));
            }
            Turn::Stops => self.stop.ask(Instant::now() + Duration::from_secs(60)),
            Turn::StopsAtOnce => self.stop.ask(Instant::now()),
            Turn::Panics => panic!("a panic that the test asked for"),
            Turn::Works | Turn::ServerFails | Turn::ServerFailsAtSome | Turn::UnknownFault => {}
        }
        turn
    }
}

fn write_error(subject: ErrorSubject, code: i32) -> WriteError {
    WriteError {
        subject,
        code: Some(code),
        message: String::new(),
        summary: String::new(),
    }
}

impl Inserter for Model {
    fn insert(&mut self, documents: &[&RawDocument]) -> InsertOutcome {
        let turn = self.next_turn();
        if matches!(turn, Turn::ServerFails) {
            return InsertOutcome::Failed(write_error(ErrorSubject::Server, 91));
        }
        if matches!(turn, Turn::UnknownFault) {
            return InsertOutcome::Failed(write_error(ErrorSubject::Unknown, 77777));
        }
        let fates = documents.iter().map(|d| self.fates[Self::index(d)]);
        if fates.clone().any(|fate| fate == Fate::SpoilsItsCommand) {
            return InsertOutcome::Failed(write_error(ErrorSubject::Record, 22));
        }
        let errors = fates.enumerate().filter_map(|(place, fate)| {
            if matches!(turn, Turn::ServerFailsAtSome) && place % 2 == 0 {
                return Some((place, write_error(ErrorSubject::Server, 91)));
            }
            let (subject, code) = match fate {
                Fate::Stored => return None,
                Fate::AlreadyStored | Fate::Conflict => (ErrorSubject::Duplicate, 11000),
                Fate::Unknown => (ErrorSubject::Unknown, 77777),
                _ => (ErrorSubject::Record, 121),
            };
            Some((place, write_error(subject, code)))
        });
        InsertOutcome::Answered(errors.collect())
    }

    fn read_back(&mut self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, WriteError> {
        if matches!(self.next_turn(), Turn::ServerFails) {
            return Err(write_error(ErrorSubject::Server, 91));
        }
        let stored = documents
            .iter()
            .map(|document| match self.fates[Self::index(document)] {
                Fate::AlreadyStored => StoredDocument::Same,
                _ => StoredDocument::Different,
            });
        Ok(stored.collect())
    }

    fn ping(&mut self) -> Result<(), WriteError> {
        Ok(())
    }

    fn idle(&mut self) {}
}

/// Simulates Kafka for the dead letters.
#[derive(Default)]
struct Letters {
    deliveries: Mutex<Vec<Delivery>>,
    /// Listeners that are called after the writer has ended.
    waiting: Mutex<Vec<(Box<dyn DeliveryListener>, Delivery)>>,
}

impl DeadLetterSink for Letters {
    fn send(
        &self,
        _: &DeadLetter<'_>,
        listener: Box<dyn DeliveryListener>,
    ) -> Result<(), SendError> {
        let delivery = self.deliveries.lock().unwrap().pop();
        match delivery.unwrap_or(Delivery::AtOnce) {
            Delivery::AtOnce => listener.delivered(),
            Delivery::NoRoomOnce => return Err(SendError::NoRoom(listener)),
            Delivery::Refused => {
                return Err(SendError::Refused(listener, Undeliverable::example()));
            }
            later => self.waiting.lock().unwrap().push((listener, later)),
        }
        Ok(())
    }

    fn wait_for_room(&self, _: Duration) {}
}

struct Unobserved;
impl StoreObserver for Unobserved {}
impl CommitObserver for Unobserved {}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        8 => Just(Fate::Stored),
        1 => Just(Fate::AlreadyStored),
        1 => Just(Fate::Conflict),
        1 => Just(Fate::RejectedAlone),
        1 => Just(Fate::SpoilsItsCommand),
        1 => Just(Fate::Unknown),
        1 => Just(Fate::InvalidJson),
    ];
    prop::collection::vec(fate, 1..20)
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => Just(Turn::Works),
        4 => Just(Turn::ServerFails),
        2 => Just(Turn::ServerFailsAtSome),
        2 => Just(Turn::UnknownFault),
        1 => Just(Turn::RevokesFirstPartition),
        1 => Just(Turn::RevokesAll),
        1 => Just(Turn::Stops),
        1 => Just(Turn::StopsAtOnce),
        1 => Just(Turn::Panics),
    ];
    prop::collection::vec(turn, 0..12)
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let delivery = prop_oneof![
        8 => Just(Delivery::AtOnce),
        4 => Just(Delivery::Later),
        1 => Just(Delivery::NeverTold),
        1 => Just(Delivery::Undeliverable),
        1 => Just(Delivery::NoRoomOnce),
        1 => Just(Delivery::Refused),
    ];
    prop::collection::vec(delivery, 0..10)
}

fn policies() -> impl Strategy<Value = OutagePolicy> {
    prop_oneof![
        Just(OutagePolicy::Redirect),
        Just(OutagePolicy::Wait),
        Just(OutagePolicy::Stop),
    ]
}

/// Two partitions, with a gap in the offsets of each.
fn batch_of(fates: &[Fate], assignment: &Assignment) -> Batch {
    let epochs = [0, 1].map(|p| assignment.begin(TopicPartition::consumed(p), Offset(0)));
    let mut batch = Batch::new(Instant::now());
    for (index, fate) in fates.iter().enumerate() {
        let number = i32::try_from(index).unwrap();
        let partition = number % 2;
        let id = RecordId {
            partition: TopicPartition::consumed(partition),
            epoch: epochs[index % 2],
            offset: Offset(i64::from(number / 2 + number / 6)),
        };
        let value = match fate {
            Fate::InvalidJson => "{".to_owned(),
            _ => format!(
                r#"{{"message_id":"id-{index}","name":"n","created_at":"2023-07-15T12:34:56Z","metadata":{{}}}}"#
            ),
        };
        batch.push(
            id,
            Timestamp::NotAvailable,
            None,
            Some(value.as_bytes()),
            None,
        );
    }
    batch
}

/// Adds to `ends` that each record of these runs has ended in this way.
fn ends_of(runs: &[RecordRun], end: End, ends: &mut BTreeMap<(TopicPartition, Offset), Vec<End>>) {
    for run in runs {
        for offset in run.offsets() {
            ends.entry((run.partition, offset)).or_default().push(end);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Settled(Outcome),
    Abandoned,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_record_of_a_batch_gets_exactly_one_end(
        fates in fates(), turns in turns(), deliveries in deliveries(), policy in policies(),
    ) {
        let assignment = Arc::new(Assignment::default());
        let stop = StopSignal::new();
        let (events, _event_receiver) = ProcessEvents::channel();
        let (committer, messages) = CommitterHandle::channel();
        let limit = Weight { messages: usize::MAX, bytes: usize::MAX };
        let dispatcher = Dispatcher::with_limit(committer, limit, Arc::new(Unobserved));
        let letters = Arc::new(Letters {
            deliveries: Mutex::new(deliveries),
            ..Letters::default()
        });
        let identity = ConsumerIdentity {
            topic: "topic".to_owned(),
            consumer_group: "group".to_owned(),
            instance: "instance".to_owned(),
        };
        let outage = OutageTracker::new(Duration::from_millis(1), policy, Arc::new(Unobserved));
        outage.collection_prepared();
        let stage = Arc::new(Stage {
            dead_letters: DeadLetters::new(Arc::clone(&letters) as Arc<_>, identity, "letters", events),
            outage: Arc::new(outage),
            flood: Arc::new(FloodGuard::off()),
            ownership: Ownership::Assigned(Arc::clone(&assignment)),
            stop: stop.clone(),
            observer: Arc::new(Unobserved),
            batch_limit: Arc::new(BatchLimit::new(BatchRange { least: 1, most: 20 })),
            rules: Arc::default(),
            max_attempts: 3,
            retry_backoff: Duration::from_micros(100),
            yielding: None,
        });
        let batch = batch_of(&fates, &assignment);
        let records: Vec<RecordId> = batch.records().iter().map(|record| record.id).collect();
        let weight = batch.weight();
        let model = Model { fates: fates.clone(), turns, assignment, stop };
        let (_, no_batches) = batch_queue(1);
        let mut writer = Writer::new(stage, no_batches, Box::new(model));

        let batch = dispatcher.dispatch(batch);
        // A panic is caught here: each record of the batch must have its end after a panic, too.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            writer
                .store_batch(batch)
                .and_then(|()| writer.go_on_with_all())
                .is_ok()
        }));
        // Batches that were set aside are dropped with their writer.
        drop(writer);
        for (listener, delivery) in letters.waiting.lock().unwrap().drain(..) {
            match delivery {
                Delivery::Undeliverable => listener.undeliverable(Undeliverable::example()),
                Delivery::NeverTold => drop(listener),
                _ => listener.delivered(),
            }
        }

        let mut ends: BTreeMap<(TopicPartition, Offset), Vec<End>> = BTreeMap::new();
        let mut released = Weight::default();
        for (place, message) in messages.try_iter().enumerate() {
            match message {
                CommitterMessage::Dispatched { runs, .. } => {
                    prop_assert_eq!(place, 0, "the dispatch comes first");
                    let dispatched: usize = runs.iter().map(|(run, _)| run.count()).sum();
                    prop_assert_eq!(dispatched, records.len());
                }
                CommitterMessage::Settled(settlement) => {
                    ends_of(&settlement.runs, End::Settled(settlement.outcome), &mut ends);
                    released += settlement.weight;
                }
                CommitterMessage::Abandoned { runs, weight } => {
                    ends_of(&runs, End::Abandoned, &mut ends);
                    released += weight;
                }
                _ => prop_assert!(false, "no other message is expected"),
            }
        }
        prop_assert_eq!(released, weight, "the room of each record is given back once");
        prop_assert_eq!(ends.len(), records.len());
        for (fate, id) in fates.iter().zip(&records) {
            let ends = &ends[&(id.partition, id.offset)];
            prop_assert_eq!(ends.len(), 1, "{:?} at {:?}: {:?}", fate, id, ends);
            match ends[0] {
                End::Settled(Outcome::Stored) => prop_assert_eq!(*fate, Fate::Stored),
                End::Settled(Outcome::AlreadyStored) => prop_assert_eq!(*fate, Fate::AlreadyStored),
                End::Settled(Outcome::DeadLettered(_)) | End::Abandoned => {}
                End::Settled(Outcome::Published) => prop_assert!(false, "only a replay publishes"),
            }
        }
    }
}
