//! A writer: takes a batch, turns its records into documents, and settles each record, stored or
//! dead-lettered. Blocking; as many of them as are configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use bson::RawDocument;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use log::{debug, warn};

use super::failure::Failure;
use super::gate::Gate;
use super::messages::{Outcome, Settlement, ToCommitter, Weight};
use super::stop::StopSignal;
use crate::core::assignment::Assignment;
use crate::core::availability::Permit;
use crate::core::dead_letter::{Origin, Ticket};
use crate::core::document::{Documents, ReceivedAt};
use crate::core::record::{Batch, Record};
use crate::core::rejection::{Reason, Rejection};
use crate::core::run::RecordRun;
use crate::core::write_plan::{
    Failure as WriteFailure, InsertOutcome, Judgement, Step, Verdict, WritePlan,
};
use crate::kafka::{DeadLetter, DeadLetterProducer, SendOutcome};
use crate::mongo::MongoDbHandler;
use crate::observe::log::RateLimited;
use crate::observe::metrics::MetricsCollector;

/// How often a wait looks whether its batch is still ours.
const SLICE: Duration = Duration::from_millis(50);
/// How often an idle writer looks whether MongoDB is to be probed.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// No delay between two attempts is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// What all writers share.
pub struct WriterContext {
    pub mongodb: Arc<MongoDbHandler>,
    pub dead_letters: Arc<DeadLetterProducer>,
    pub committer: Sender<ToCommitter>,
    pub assignment: Arc<Assignment>,
    pub gate: Arc<Gate>,
    pub stop: StopSignal,
    pub metrics: Arc<MetricsCollector>,
    pub origin: Origin,
    pub idle: AtomicUsize,
    pub rejection_log: RateLimited,
    pub max_attempts: u32,
    pub retry_backoff: Duration,
    pub redirects: bool,
    pub max_consecutive_rejections: u64,
    pub consecutive_rejections: AtomicU64,
}

pub struct Writer {
    pub batches: Receiver<Batch>,
    pub context: Arc<WriterContext>,
}

/// Why a batch was left before all of it was settled.
enum Left {
    /// Nothing of it is ours any more, or the process stops: Kafka will deliver it again.
    GivenUp,
    Failed(Failure),
}

impl Writer {
    /// Runs until the poller is gone and its batches are through.
    ///
    /// # Errors
    /// When MongoDB refuses us, or a record can be neither stored nor dead-lettered.
    pub fn run(self) -> Result<(), Failure> {
        let context = &*self.context;
        let mut documents = Documents::default();
        loop {
            context.idle.fetch_add(1, Ordering::AcqRel);
            let received = self.batches.recv_timeout(IDLE_LOOK);
            context.idle.fetch_sub(1, Ordering::AcqRel);
            match received {
                Ok(batch) => {
                    let busy = context.metrics.busy_writer();
                    context.store_batch(batch, &mut documents)?;
                    drop(busy);
                }
                Err(RecvTimeoutError::Timeout) => context.probe_if_due(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

impl WriterContext {
    /// Settles every record of `batch`, or gives it up.
    ///
    /// # Errors
    /// What ends the process; the records without an end are given up then, uncommitted.
    pub fn store_batch(&self, mut batch: Batch, documents: &mut Documents) -> Result<(), Failure> {
        self.let_go_of_revoked(&mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.metrics.observe_batch_size(batch.len());
        let received_at = ReceivedAt::new(SystemTime::now());
        documents.clear();
        let mut rejections = Vec::new();
        for (index, record) in batch.records().iter().enumerate() {
            if let Err(rejection) = documents.push(index, batch.value(record), &received_at) {
                rejections.push((index, rejection));
            }
        }
        let mut settling = Settling::new(self, &batch);
        let result = settling
            .dead_letter_all(rejections, 0)
            .and_then(|()| settling.write(documents));
        settling.end_probe();
        let given_up = settling.give_up_the_rest();
        match result {
            Err(Left::Failed(failure)) => Err(failure),
            // What is ours is given up for a stop alone: else its partition would stand still, silently.
            Ok(()) | Err(Left::GivenUp) if given_up > 0 && !self.stop.is_stopping() => {
                Err(Failure::Running(format!(
                    "{given_up} records were left without an end: they stay uncommitted"
                )))
            }
            Ok(()) | Err(Left::GivenUp) => Ok(()),
        }
    }

    /// Records whose partition went to another member are its to store.
    fn let_go_of_revoked(&self, batch: &mut Batch) {
        let gone = batch.take_if(|id| !self.assignment.is_current(id.partition, id.epoch));
        if !gone.is_empty() {
            debug!(
                "{} records of partitions that are gone were dropped",
                gone.len()
            );
            self.abandon(gone.iter());
        }
    }

    fn abandon<'a>(&self, records: impl Iterator<Item = &'a Record> + Clone) {
        let runs = RecordRun::collect(records.clone().map(|record| record.id));
        let weight = records.map(Weight::of).sum();
        // A committer that is gone has ended the process already.
        let _ = self.committer.send(ToCommitter::Abandoned { runs, weight });
    }

    fn probe_if_due(&self) {
        if self.gate.is_available() || self.gate.permit() != Permit::Probe {
            return;
        }
        match self.mongodb.ping() {
            Ok(()) => self.gate.succeeded(),
            Err(error) => self.gate.failed(&error.to_string()),
        }
    }
}

/// One batch on its way: which of its records have found their end.
struct Settling<'a> {
    context: &'a WriterContext,
    batch: &'a Batch,
    /// By index: it has its end, or is a dead letter under way.
    ended: Vec<bool>,
    /// This batch is the probe that finds out whether MongoDB is back.
    is_probing: bool,
}

impl<'a> Settling<'a> {
    fn new(context: &'a WriterContext, batch: &'a Batch) -> Self {
        Self {
            context,
            batch,
            ended: vec![false; batch.len()],
            is_probing: false,
        }
    }

    /// Takes the documents through the plan until each has its verdict.
    fn write(&mut self, documents: &Documents) -> Result<(), Left> {
        let context = self.context;
        let mut plan = WritePlan::new(documents.indexes().collect(), context.max_attempts);
        let mut delays = delays(context.retry_backoff);
        let stored_before = context.gate.stored();
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
                Step::Unavailable(failure)
                    if failure.judgement == Judgement::Unknown
                        && context.gate.stored() > stored_before =>
                {
                    plan.the_server_took_others();
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
        let outcome = context.mongodb.insert_batch(&raw);
        context
            .metrics
            .observe_mongodb_write_time(started.elapsed());
        let (took_some, is_success) = match &outcome {
            InsertOutcome::Answered(failures) => {
                let is_about_them = |failure: &WriteFailure| {
                    matches!(failure.judgement, Judgement::Duplicate | Judgement::Record)
                };
                let took_some = failures.len() < indexes.len();
                let judged = failures
                    .iter()
                    .filter(|(_, failure)| is_about_them(failure))
                    .count();
                let of_server = failures.iter().any(|(_, failure)| {
                    matches!(failure.judgement, Judgement::Server | Judgement::Operator)
                });
                (took_some, !of_server && (took_some || judged > 0))
            }
            InsertOutcome::Failed(_) => (false, false),
        };
        if took_some {
            context.gate.count_stored();
        }
        if is_success {
            context.gate.succeeded();
            self.is_probing = false;
        }
        outcome
    }

    /// A probe that ended without an answer either way leaves MongoDB unavailable until the next one.
    fn end_probe(&mut self) {
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

    fn dead_letter_all(
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
            headers: context
                .origin
                .headers(record, rejection, attempts, SystemTime::now()),
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
            topic = self.context.origin.topic, partition = partition.0,
            offset = offset.0, bytes = record.size(), reason = rejection.reason.as_str(),
            field = rejection.field.as_deref(), code = rejection.code, suppressed;
            "a record goes to the dead letter topic"
        );
    }

    /// Abandons what has no end; says how many of these records are still ours.
    fn give_up_the_rest(&self) -> usize {
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
