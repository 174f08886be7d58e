//! One batch on its way into MongoDB: takes its documents through the write plan, waits where that says
//! so, and settles each record, stored or dead-lettered.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use bson::RawDocument;
use log::{debug, warn};

use super::failure::Failure;
use super::messages::{Outcome, Settlement, ToCommitter, Weight};
use super::writer::WriterContext;
use crate::core::availability::Permit;
use crate::core::dead_letter::{DeadLetterHeaders, Ticket};
use crate::core::document::Documents;
use crate::core::record::{Batch, Record};
use crate::core::rejection::{Reason, Rejection};
use crate::core::run::RecordRun;
use crate::core::write_plan::{InsertOutcome, Judgement, Step, Verdict, WritePlan};
use crate::kafka::{DeadLetter, SendOutcome};
use crate::mongo::InsertSession;

/// How often a wait looks whether its batch is still ours.
const SLICE: Duration = Duration::from_millis(50);
/// No delay between two attempts is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Why a batch was left before all of it was settled.
pub(super) enum Left {
    /// Nothing of it is ours any more, or the process stops: Kafka will deliver it again.
    GivenUp,
    Failed(Failure),
}

/// One batch on its way: which of its records have found their end.
pub(super) struct BatchWrite<'a> {
    context: &'a WriterContext,
    batch: &'a Batch,
    session: &'a mut InsertSession,
    /// By index: it has its end, or is a dead letter under way.
    ended: Vec<bool>,
    /// This batch is the probe that finds out whether MongoDB is back.
    is_probing: bool,
}

impl<'a> BatchWrite<'a> {
    pub(super) fn new(
        context: &'a WriterContext,
        batch: &'a Batch,
        session: &'a mut InsertSession,
    ) -> Self {
        Self {
            context,
            batch,
            session,
            ended: vec![false; batch.len()],
            is_probing: false,
        }
    }

    /// Takes the documents through the plan until each has its verdict.
    pub(super) fn run(&mut self, documents: &Documents) -> Result<(), Left> {
        let context = self.context;
        let mut plan = WritePlan::new(documents.indexes().collect(), context.max_attempts);
        let mut delays = delays(context.retry_backoff);
        loop {
            match plan.step() {
                Step::Insert(indexes) => {
                    if !self.may_insert(&mut plan)? {
                        continue;
                    }
                    let outcome = self.insert(documents, &indexes);
                    if let InsertOutcome::Failed(failure) = &outcome
                        && failure.judgement == Judgement::Server
                    {
                        debug!("an insert failed: {}", failure.summary);
                        self.give_up_if_stopping()?;
                    }
                    plan.inserted(outcome);
                }
                Step::ReadBack(indexes) => {
                    let raw: Vec<&RawDocument> = documents.get_all(&indexes);
                    plan.read_back(context.mongodb.read_back(&raw));
                }
                // Another writer has used up its attempts: there is no point in ours.
                Step::BackOff if !context.gate.is_available() => plan.backed_off(),
                Step::BackOff => {
                    context.metrics.increment_mongodb_retries();
                    let delay = delays.next_backoff().unwrap_or(LONGEST_BACKOFF);
                    warn!(attempt = plan.attempts(), records = plan.pending().len(),
                        millis = delay.as_millis(); "MongoDB failed, the batch is tried again");
                    self.wait(delay, &mut plan)?;
                    plan.backed_off();
                }
                Step::Unavailable(failure) => {
                    context.gate.failed(&failure.summary);
                    self.is_probing = false;
                    plan.start_over();
                    delays = self::delays(context.retry_backoff);
                }
                Step::Stop(failure) => {
                    return Err(Left::Failed(Failure::MongoDbRefused(failure.summary)));
                }
                Step::Done => {
                    self.take_verdicts(&mut plan)?;
                    return Ok(());
                }
            }
            self.take_verdicts(&mut plan)?;
        }
    }

    /// Asks for leave to insert. While MongoDB is unavailable, the batch is redirected or waits, as
    /// configured; then this says false, and the plan has moved on.
    fn may_insert(&mut self, plan: &mut WritePlan) -> Result<bool, Left> {
        let context = self.context;
        if context.stop.is_past_deadline() {
            return Err(Left::GivenUp);
        }
        if self.is_probing {
            return Ok(true);
        }
        match context.gate.permit() {
            Permit::Write => Ok(true),
            Permit::Probe => {
                self.is_probing = true;
                plan.single_attempt();
                Ok(true)
            }
            Permit::Wait(_) => {
                self.give_up_if_stopping()?;
                if context.redirects {
                    let attempts = plan.attempts();
                    let redirected = plan.redirect();
                    let unavailable =
                        || Rejection::new(Reason::MongodbUnavailable, "MongoDB was unavailable");
                    context
                        .gate
                        .count_redirected(u64::try_from(redirected.len()).unwrap_or(u64::MAX));
                    let rejections = redirected.into_iter().map(|i| (i, unavailable())).collect();
                    self.dead_letter_all(rejections, attempts)?;
                } else {
                    self.wait(SLICE, plan)?;
                }
                Ok(false)
            }
        }
    }

    fn insert(&mut self, documents: &Documents, indexes: &[usize]) -> InsertOutcome {
        let context = self.context;
        let raw: Vec<&RawDocument> = documents.get_all(indexes);
        let started = Instant::now();
        let outcome = context.mongodb.insert_batch(&raw, self.session);
        context
            .metrics
            .observe_mongodb_write_time(started.elapsed());
        let is_success = match &outcome {
            // The server took some, or judged some by themselves, and failed at none.
            InsertOutcome::Answered(failures) => {
                let judgements = || failures.iter().map(|(_, failure)| failure.judgement);
                let failed =
                    |judgement| matches!(judgement, Judgement::Server | Judgement::Operator);
                let judged =
                    |judgement| matches!(judgement, Judgement::Duplicate | Judgement::Record);
                !judgements().any(failed)
                    && (failures.len() < indexes.len() || judgements().any(judged))
            }
            InsertOutcome::Failed(_) => false,
        };
        if is_success {
            context.gate.succeeded();
            self.is_probing = false;
        }
        outcome
    }

    /// A probe that ended without an answer either way leaves MongoDB unavailable until the next one.
    pub(super) fn end_probe(&mut self) {
        if std::mem::take(&mut self.is_probing) {
            self.context.gate.probe_ended();
        }
    }

    /// Waits before the next attempt, but no longer than the batch is ours and the process goes on.
    fn wait(&self, delay: Duration, plan: &mut WritePlan) -> Result<(), Left> {
        let until = Instant::now() + delay;
        loop {
            self.give_up_if_stopping()?;
            let records = self.batch.records();
            plan.retain(|index| {
                let id = records[index].id;
                self.context.assignment.is_current(id.partition, id.epoch)
            });
            if plan.pending().is_empty() {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // The next turn looks at the stop itself.
            let _ = self.context.stop.wait(left.min(SLICE));
        }
    }

    /// A stop neither waits for MongoDB nor redirects what it can't take.
    fn give_up_if_stopping(&self) -> Result<(), Left> {
        if self.context.stop.is_stopping() {
            Err(Left::GivenUp)
        } else {
            Ok(())
        }
    }

    fn take_verdicts(&mut self, plan: &mut WritePlan) -> Result<(), Left> {
        let attempts = plan.attempts();
        let (mut stored, mut replayed, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (index, verdict) in plan.take_verdicts() {
            match verdict {
                Verdict::Stored => stored.push(index),
                Verdict::Replayed => replayed.push(index),
                Verdict::Rejected(rejection) => rejected.push((index, rejection)),
            }
        }
        self.settle(stored, Outcome::Stored);
        self.settle(replayed, Outcome::Replayed);
        self.dead_letter_all(rejected, attempts)
    }

    fn settle(&mut self, mut indexes: Vec<usize>, outcome: Outcome) {
        if indexes.is_empty() {
            return;
        }
        indexes.sort_unstable();
        let records = self.batch.records();
        let runs = RecordRun::collect(indexes.iter().map(|&index| records[index].id));
        let weight = indexes
            .iter()
            .map(|&index| Weight::of(&records[index]))
            .sum();
        for index in indexes {
            self.ended[index] = true;
        }
        self.context
            .consecutive_rejections
            .store(0, Ordering::Relaxed);
        let taken_at = self.batch.taken_at();
        let settlement = Settlement {
            runs,
            outcome,
            weight,
            taken_at,
        };
        // A committer that is gone has ended the process already.
        let _ = self
            .context
            .committer
            .send(ToCommitter::Settled(settlement));
    }

    pub(super) fn dead_letter_all(
        &mut self,
        rejections: Vec<(usize, Rejection)>,
        attempts: u32,
    ) -> Result<(), Left> {
        for (index, rejection) in rejections {
            self.guard_against_a_flood(&rejection)?;
            self.dead_letter(index, &rejection, attempts)?;
        }
        Ok(())
    }

    /// Hands a record to the dead letter producer; its delivery report settles it.
    fn dead_letter(
        &mut self,
        index: usize,
        rejection: &Rejection,
        attempts: u32,
    ) -> Result<(), Left> {
        let context = self.context;
        let record = &self.batch.records()[index];
        self.log_rejection(record, rejection);
        let letter = DeadLetter {
            key: self.batch.key(record),
            value: self.batch.value(record),
            original_headers: record.headers.as_ref(),
            headers: DeadLetterHeaders::of_rejection(
                &context.identity,
                record,
                rejection,
                attempts,
                SystemTime::now(),
            )
            .write(),
            ticket: Ticket {
                id: record.id,
                reason: rejection.reason,
                bytes: Weight::of(record).bytes,
                taken_at: self.batch.taken_at(),
            },
        };
        loop {
            match context.dead_letters.send(&letter) {
                SendOutcome::Sent => {
                    self.ended[index] = true;
                    return Ok(());
                }
                SendOutcome::QueueFull => {
                    if context.stop.is_past_deadline() {
                        return Err(Left::GivenUp);
                    }
                    let id = record.id;
                    if !context.assignment.is_current(id.partition, id.epoch) {
                        // Its new owner reads it; the others of this batch are still ours.
                        return Ok(());
                    }
                    // The next turn looks at the stop's deadline itself.
                    let _ = context.stop.wait(SLICE);
                }
                SendOutcome::Refused(error) => {
                    return Err(Left::Failed(Failure::Running(format!(
                        "the record at partition {}, offset {} can be neither stored ({}) nor handed \
                         to the dead letter producer: {error}. Its offset stays uncommitted.",
                        record.id.partition, record.id.offset, rejection.reason
                    ))));
                }
            }
        }
    }

    /// Where nothing but rejections comes, something is wrong with the producer of the messages, and
    /// going on would dead-letter the whole topic.
    fn guard_against_a_flood(&self, rejection: &Rejection) -> Result<(), Left> {
        let context = self.context;
        if rejection.reason == Reason::MongodbUnavailable || context.max_consecutive_rejections == 0
        {
            return Ok(());
        }
        let before = context
            .consecutive_rejections
            .fetch_add(1, Ordering::Relaxed);
        if before < context.max_consecutive_rejections {
            return Ok(());
        }
        Err(Left::Failed(Failure::Running(format!(
            "{before} records in a row were rejected, the last one for `{}`: that is more than \
             `consumer.max_consecutive_rejections` allows. This record and those behind it stay \
             uncommitted",
            rejection.reason
        ))))
    }

    fn log_rejection(&self, record: &Record, rejection: &Rejection) {
        let Some(suppressed) = self.context.rejection_log.admit(Instant::now()) else {
            return;
        };
        let (partition, offset) = record.source();
        // Neither the value nor the server's words, which may quote it.
        warn!(
            topic = self.context.identity.topic, partition = partition.0,
            offset = offset.0, bytes = record.size(), reason = rejection.reason.as_str(),
            field = rejection.field.as_deref(), code = rejection.code, suppressed;
            "a record goes to the dead letter topic"
        );
    }

    /// Abandons what has no end; says how many of these records are still ours.
    pub(super) fn give_up_the_rest(&self) -> usize {
        let rest = self
            .batch
            .records()
            .iter()
            .zip(&self.ended)
            .filter(|(_, ended)| !**ended)
            .map(|(record, _)| record);
        if rest.clone().next().is_none() {
            return 0;
        }
        self.context.abandon(rest.clone());
        let assignment = &self.context.assignment;
        rest.filter(|record| assignment.is_current(record.id.partition, record.id.epoch))
            .count()
    }
}

pub fn delays(first: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        current_interval: first,
        initial_interval: first,
        multiplier: 2.0,
        randomization_factor: 0.5,
        max_interval: LONGEST_BACKOFF,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}
