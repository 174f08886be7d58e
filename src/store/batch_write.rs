//! One batch on its way into MongoDB: takes its documents through the write plan, waits where the plan says
//! so, and settles each record as stored or hands it over as a dead letter.

use std::time::{Duration, Instant};

use bson::RawDocument;
use log::{debug, warn};

use super::flood_guard::Admission;
use super::inserter::Inserter;
use super::stage::Stage;
use super::unfinished::Unfinished;
use crate::commit::{DispatchedBatch, Outcome};
use crate::config::OnFlood;
use crate::core::availability::{Caller, OutageCause, OutagePolicy, Permit};
use crate::core::batch_limit::EndedInsert;
use crate::core::document::Documents;
use crate::core::partition::RecordId;
use crate::core::rejection::{Reason, Rejection};
use crate::core::write_plan::{ErrorSubject, InsertOutcome, Step, Verdict, WriteError, WritePlan};
use crate::failure::Failure;
use crate::runtime::Delays;

/// How often a wait looks whether its batch is still ours.
const SLICE: Duration = Duration::from_millis(50);

/// One batch on its way.
pub(super) struct BatchWrite<'a> {
    stage: &'a Stage,
    batch: &'a mut DispatchedBatch,
    inserter: &'a mut dyn Inserter,
    /// This batch is the probe that finds out whether MongoDB is back.
    is_probing: bool,
}

impl<'a> BatchWrite<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        batch: &'a mut DispatchedBatch,
        inserter: &'a mut dyn Inserter,
    ) -> Self {
        Self {
            stage,
            batch,
            inserter,
            is_probing: false,
        }
    }

    /// Takes the documents through the plan until each has its verdict.
    pub(super) fn run(
        &mut self,
        documents: &Documents,
        plan: &mut WritePlan,
    ) -> Result<(), Unfinished> {
        let stage = self.stage;
        let mut delays = Delays::doubling(stage.retry_backoff);
        loop {
            match plan.step() {
                Step::Insert(indexes) => {
                    if self.may_insert(plan, Caller::Writer)? {
                        self.insert(documents, &indexes, plan)?;
                    }
                }
                Step::InsertSuspect(index) => {
                    if self.may_insert(plan, Caller::SuspectWriter)? {
                        self.insert(documents, &[index], plan)?;
                    }
                }
                Step::ReadBack(indexes) => {
                    let raw: Vec<&RawDocument> = documents.get_all(&indexes);
                    stage.observer.read_back_begins();
                    let found = self.inserter.read_back(&raw);
                    stage.observer.read_back_ended();
                    plan.read_back(found);
                }
                // Another writer has used up its attempts: further ones of this batch are pointless.
                Step::BackOff if !stage.outage.is_available() => plan.backed_off(),
                Step::BackOff => {
                    stage.observer.insert_retried();
                    let delay = delays.next_delay();
                    warn!(attempt = plan.attempts(), records = plan.pending().len(),
                        millis = delay.as_millis(); "MongoDB failed, the batch is tried again");
                    self.wait(delay, plan)?;
                    plan.backed_off();
                }
                Step::Unavailable(error) => {
                    stage.outage.failed(cause_of(&error), &error.summary);
                    self.is_probing = false;
                    plan.start_over();
                    delays = Delays::doubling(stage.retry_backoff);
                }
                Step::Stop(error) => {
                    let failure = Failure::mongodb_refused().because(error.summary);
                    return Err(Unfinished::Failed(failure));
                }
                Step::Done => {
                    self.take_verdicts(plan)?;
                    return Ok(());
                }
            }
            self.take_verdicts(plan)?;
        }
    }

    /// Asks for permission to insert. While MongoDB is unavailable, the stage's policy decides. Returns false if it is to be
    /// asked again: then the plan has moved on, or the wait was in vain.
    fn may_insert(&mut self, plan: &mut WritePlan, caller: Caller) -> Result<bool, Unfinished> {
        let stage = self.stage;
        if stage.stop.is_past_deadline() {
            return Err(Unfinished::GivenUp);
        }
        if self.is_probing {
            return Ok(true);
        }
        match stage.outage.permit(caller) {
            Permit::Write => return Ok(true),
            Permit::Once => {
                plan.single_attempt();
                return Ok(true);
            }
            Permit::Probe => {
                self.is_probing = true;
                plan.single_attempt();
                return Ok(true);
            }
            Permit::Denied => {}
        }
        self.give_up_if_stopping()?;
        if stage.outage.is_available() {
            // Until the collection is prepared.
            self.wait(SLICE, plan)?;
            return Ok(false);
        }
        let is_suspect = caller == Caller::SuspectWriter;
        match stage.outage.policy() {
            OutagePolicy::Redirect => {
                let redirected = if is_suspect {
                    plan.redirect_next()
                } else {
                    plan.redirect()
                };
                stage.outage.count_redirected(redirected.len());
                let unavailable = Rejection::new(
                    Reason::MongodbUnavailable,
                    format!("MongoDB was unavailable: {}", stage.outage.cause()),
                );
                let rejections = redirected.into_iter().map(|i| (i, unavailable.clone()));
                self.dead_letter_all(rejections.collect(), plan)?;
            }
            OutagePolicy::Stop if stage.outage.is_certainly_unavailable() => {
                let failure = Failure::mongodb_unreachable().because(stage.outage.cause());
                return Err(Unfinished::Failed(failure));
            }
            OutagePolicy::Wait | OutagePolicy::Stop if is_suspect => {
                return Err(Unfinished::SetAside);
            }
            OutagePolicy::Wait | OutagePolicy::Stop => self.wait(SLICE, plan)?,
        }
        Ok(false)
    }

    fn insert(
        &mut self,
        documents: &Documents,
        indexes: &[usize],
        plan: &mut WritePlan,
    ) -> Result<(), Unfinished> {
        let Stage {
            outage,
            observer,
            batch_limit,
            ..
        } = self.stage;
        let raw: Vec<&RawDocument> = documents.get_all(indexes);
        let begun = outage.insert_begins();
        observer.insert_begins();
        let started = Instant::now();
        let outcome = self.inserter.insert(&raw);
        let took = started.elapsed();
        observer.insert_took(took);
        let ended = EndedInsert {
            documents: indexes.len(),
            took,
            has_failed: matches!(outcome, InsertOutcome::Failed(_)),
        };
        if let Some(messages) = batch_limit.insert_ended(ended) {
            debug!("the next batches have up to {messages} messages");
            observer.batch_limit_changed(messages);
        }
        let span = outage.insert_ended(&begun, outcome.took_any(indexes.len()));
        if outcome.proves_availability(indexes.len()) {
            outage.succeeded();
            self.is_probing = false;
        }
        if let InsertOutcome::Failed(error) = &outcome
            && error.subject == ErrorSubject::Server
        {
            debug!("an insert failed: {}", error.summary);
            self.give_up_if_stopping()?;
        }
        plan.inserted(outcome, span);
        Ok(())
    }

    /// Waits before the next attempt, as long as records of the batch are ours and the process goes on.
    fn wait(&self, delay: Duration, plan: &mut WritePlan) -> Result<(), Unfinished> {
        let until = Instant::now() + delay;
        loop {
            self.give_up_if_stopping()?;
            let records = self.batch.batch().records();
            plan.retain(|index| self.stage.ownership.is_ours(records[index].id));
            if plan.pending().is_empty() {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // The next turn looks at the stop itself.
            let _ = self.stage.stop.wait(left.min(SLICE));
        }
    }

    /// A stop doesn't wait for MongoDB, and doesn't redirect what MongoDB can't take.
    fn give_up_if_stopping(&self) -> Result<(), Unfinished> {
        if self.stage.stop.is_stopping() {
            Err(Unfinished::GivenUp)
        } else {
            Ok(())
        }
    }

    fn take_verdicts(&mut self, plan: &mut WritePlan) -> Result<(), Unfinished> {
        let (mut stored, mut already_stored, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (index, verdict) in plan.take_verdicts() {
            match verdict {
                Verdict::Stored => stored.push(index),
                Verdict::AlreadyStored => already_stored.push(index),
                Verdict::Rejected(rejection) => rejected.push((index, rejection)),
            }
        }
        let records = self.batch.batch().records();
        let id_of = |&index: &usize| (index, records[index].id);
        let mut good: Vec<(usize, RecordId)> = Vec::new();
        if self.stage.flood.is_on() {
            good.extend(stored.iter().chain(&already_stored).map(id_of));
            good.sort_unstable_by_key(|&(index, _)| index);
            rejected.sort_unstable_by_key(|&(index, _)| index);
        }
        self.batch.settle(stored, Outcome::Stored);
        self.batch.settle(already_stored, Outcome::AlreadyStored);
        // The guard counts them in their order.
        let mut good = good.as_slice();
        for (index, rejection) in rejected {
            self.stage.flood.stored(take_before(&mut good, index));
            if let Err(unfinished) = self.dead_letter(index, &rejection, true, plan) {
                self.stage.flood.stored(take_before(&mut good, usize::MAX));
                return Err(unfinished);
            }
        }
        self.stage.flood.stored(take_before(&mut good, usize::MAX));
        Ok(())
    }

    /// Hands over the records that can't become documents. All others of the batch count as accepted, in their order.
    pub(super) fn dead_letter_without_documents(
        &mut self,
        rejections: Vec<(usize, Rejection)>,
        plan: &WritePlan,
    ) -> Result<(), Unfinished> {
        let mut accepted = Vec::new();
        if self.stage.flood.is_on() {
            let unsettled = self.batch.unsettled();
            let of_all = unsettled.map(|(index, record)| (index, record.id));
            let is_rejected = |index| rejections.binary_search_by_key(&index, |(i, _)| *i).is_ok();
            accepted.extend(of_all.filter(|&(index, _)| !is_rejected(index)));
        }
        let mut accepted = accepted.as_slice();
        for (index, rejection) in rejections {
            self.stage.flood.accepted(take_before(&mut accepted, index));
            self.dead_letter(index, &rejection, false, plan)?;
        }
        self.stage
            .flood
            .accepted(take_before(&mut accepted, usize::MAX));
        Ok(())
    }

    fn dead_letter_all(
        &mut self,
        rejections: Vec<(usize, Rejection)>,
        plan: &WritePlan,
    ) -> Result<(), Unfinished> {
        for (index, rejection) in rejections {
            self.dead_letter(index, &rejection, true, plan)?;
        }
        Ok(())
    }

    /// `was_accepted`: the record has become a document.
    fn dead_letter(
        &mut self,
        index: usize,
        rejection: &Rejection,
        was_accepted: bool,
        plan: &WritePlan,
    ) -> Result<(), Unfinished> {
        let Stage {
            dead_letters,
            ownership,
            stop,
            ..
        } = self.stage;
        let id = self.batch.batch().records()[index].id;
        if !self.admit(id, rejection.reason, was_accepted)? {
            // The new owner reads this record.
            return Ok(());
        }
        let attempts = plan.inserts_of(index);
        dead_letters.send(self.batch, index, rejection, attempts, ownership, stop)
    }

    /// Asks the guard against floods, and waits if it has paused the worker. Returns whether the record is still ours.
    fn admit(&self, id: RecordId, reason: Reason, was_accepted: bool) -> Result<bool, Unfinished> {
        let Stage {
            flood,
            ownership,
            stop,
            ..
        } = self.stage;
        loop {
            let why = match flood.admit(id, reason, was_accepted) {
                Admission::Admitted => return Ok(true),
                Admission::Flood(why) => why,
            };
            match flood.on_flood() {
                OnFlood::Stop => {
                    let why = format!("{why}. This record and those behind it stay uncommitted");
                    return Err(Unfinished::Flooded(Failure::running(why)));
                }
                OnFlood::Pause => flood.pause(&why),
            }
            while flood.has_paused() {
                self.give_up_if_stopping()?;
                if !ownership.is_ours(id) {
                    return Ok(false);
                }
                // The next turn looks at the stop itself.
                let _ = stop.wait(SLICE);
            }
        }
    }
}

/// Takes the messages in front of the one with this index off the list, which is in order.
fn take_before<'a>(
    messages: &mut &'a [(usize, RecordId)],
    index: usize,
) -> impl Iterator<Item = RecordId> + use<'a> {
    let count = messages.partition_point(|&(other, _)| other < index);
    let (before, rest) = messages.split_at(count);
    *messages = rest;
    before.iter().map(|&(_, id)| id)
}

/// What an error that used up the attempts says about the outage.
fn cause_of(error: &WriteError) -> OutageCause {
    match (error.subject, error.code) {
        (ErrorSubject::Unknown, _) => OutageCause::UnknownRefusals,
        (_, Some(_)) => OutageCause::WriteRefused,
        (_, None) => OutageCause::NoAnswer,
    }
}

/// A probe without a result leaves MongoDB unavailable until the next one.
impl Drop for BatchWrite<'_> {
    fn drop(&mut self) {
        if self.is_probing {
            self.stage.outage.probe_ended();
        }
    }
}
