//! The replay's own loop: reads, chooses, hands over, and sees to the end.

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::super::failure::Failure;
use super::super::messages::{Event, Weight};
use super::super::stop::StopSignal;
use super::books::Books;
use super::destination::Destination;
use super::tally::ReplayTally;
use super::{ReplayRequest, unreachable};
use crate::core::dead_letter::ReplayDecision;
use crate::core::partition::{Offset, Partition};
use crate::core::record::Batch;
use crate::kafka::{Next, Taken, TopicReader};

/// The longest that one turn of the loop waits.
const SLICE: Duration = Duration::from_millis(50);

/// After a failure, what is in flight may take so long for its end.
const FAILURE_SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long the reason for giving something up may come after it.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Replayer<'a> {
    pub reader: TopicReader,
    pub request: &'a ReplayRequest,
    pub ends: BTreeMap<Partition, Offset>,
    pub books: Books,
    pub destination: Destination,
    /// What goes to the destination next.
    pub hand: Batch,
    pub events: Receiver<Event>,
    pub stop: StopSignal,
    pub batch_size: usize,
    pub batch_bytes: usize,
}

type Show<'a> = &'a mut dyn FnMut(&ReplayTally);

impl Replayer<'_> {
    pub(super) fn run(mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        let taken = self.take_all(tally, show);
        if taken.is_err() {
            self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
        }
        self.books.give_up(&self.hand);
        let settled = self.settle_all(tally, show);
        let committed = self.books.commit_all();
        let told = self.why_given_up(tally);
        taken.and(settled).and(told).and(committed)
    }

    /// Whoever gives a record up says so first, and why then.
    fn why_given_up(&mut self, tally: &ReplayTally) -> Result<(), Failure> {
        if !self.books.is_any_given_up {
            return Ok(());
        }
        let event = self.events.recv_timeout(LAST_WORDS);
        event.map_or(Ok(()), failure_of)?;
        if tally.is_interrupted {
            return Ok(());
        }
        Err(Failure::Running(
            "not all could be settled: run the same again".to_owned(),
        ))
    }

    /// Reads up to the end, the limit or the stop, and hands all over.
    fn take_all(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        loop {
            self.turn(Duration::ZERO, tally, show)?;
            if self.stop.is_stopping() {
                tally.is_interrupted = true;
                return self.hand_over(tally, show);
            }
            if self.hand.len() >= self.batch_size || self.hand.bytes() >= self.batch_bytes {
                self.hand_over(tally, show)?;
            }
            if !self.books.has_room() {
                // What is in hand is in flight, too: it must not wait for itself.
                self.hand_over(tally, show)?;
                self.turn(SLICE, tally, show)?;
                continue;
            }
            match self.reader.next(SLICE).map_err(unreachable)? {
                Next::Record(letter) => {
                    let choice = choose(self.request, &letter, tally);
                    if tally.is_limited {
                        drop(letter);
                        return self.hand_over(tally, show);
                    }
                    tally.count(choice);
                    take(&mut self.books, &mut self.hand, &letter, choice);
                }
                Next::Nothing => self.hand_over(tally, show)?,
                Next::End => {
                    self.hand_over(tally, show)?;
                    for (&partition, &end) in &self.ends {
                        self.books.pass(partition, end);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Hands over what is in hand, however long that takes; after a stop not without a bound.
    fn hand_over(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        while !self.hand.is_empty() && !self.stop.is_past_deadline() {
            let batch = mem::replace(&mut self.hand, Batch::new(Instant::now()));
            let reason = self.request.criteria.reason;
            if let Some(batch) = self.destination.offer(batch, reason)? {
                self.hand = batch;
                self.turn(SLICE, tally, show)?;
            }
        }
        Ok(())
    }

    /// Waits for the end of what is in flight; after a stop not without a bound.
    fn settle_all(&mut self, tally: &mut ReplayTally, show: Show<'_>) -> Result<(), Failure> {
        let mut result = Ok(());
        while !self.books.is_all_settled() && !self.stop.is_past_deadline() {
            if let Err(failure) = self.turn(SLICE, tally, show) {
                self.stop.ask(Instant::now() + FAILURE_SETTLE_TIME);
                result = result.and(Err(failure));
            }
        }
        // What came in the last moment.
        self.hear(Duration::ZERO, tally);
        result
    }

    /// Hears what has happened, and commits.
    fn turn(
        &mut self,
        patience: Duration,
        tally: &mut ReplayTally,
        show: Show<'_>,
    ) -> Result<(), Failure> {
        self.hear(patience, tally);
        show(tally);
        self.events.try_recv().map_or(Ok(()), failure_of)?;
        if !self.destination.is_available() {
            return Err(Failure::Running(
                "MongoDB is unavailable: what isn't replayed yet waits in the dead letter topic; run \
                 the same again when MongoDB is back"
                    .to_owned(),
            ));
        }
        self.books.commit_if_due()
    }

    fn hear(&mut self, patience: Duration, tally: &mut ReplayTally) {
        let publishes = self.destination.publishes();
        self.books.hear(patience, |settlement| {
            tally.settle(settlement.outcome, settlement.weight.messages, publishes);
        });
    }
}

fn failure_of(event: Event) -> Result<(), Failure> {
    match event {
        Event::Failed(failure) => Err(failure),
        Event::Ended { thread, result } => {
            let ended = || Failure::Running(format!("thread `{thread}` ended by itself"));
            Err(result.err().unwrap_or_else(ended))
        }
        Event::Signal => Ok(()),
    }
}

/// Puts a dead letter into the books, and into the hand if it is to be replayed.
fn take(books: &mut Books, hand: &mut Batch, letter: &Taken<'_>, choice: ReplayDecision) {
    let ReplayDecision::Take(replay) = choice else {
        return books.pass(letter.partition(), letter.offset().next());
    };
    let Some(id) = books.id(letter.partition(), letter.offset()) else {
        return;
    };
    let now = Instant::now();
    if hand.is_empty() {
        *hand = Batch::new(now);
    }
    hand.push_replay(id, replay, letter.key(), letter.value(), letter.headers());
    if let Some(record) = hand.records().last() {
        books.take(id, Weight::of(record), now);
    }
}

/// What is to be done with a dead letter; notes it if one more is more than was asked for.
fn choose(request: &ReplayRequest, letter: &Taken<'_>, tally: &mut ReplayTally) -> ReplayDecision {
    let written_at = letter.timestamp().instant();
    let choice = request
        .criteria
        .decide(&letter.dead_letter_headers(), written_at);
    if let (ReplayDecision::Take(_), Some(limit)) = (choice, request.limit) {
        tally.is_limited = tally.taken >= limit;
    }
    choice
}

/// Reads like a replay, and does nothing else.
pub(super) fn count(
    reader: &mut TopicReader,
    request: &ReplayRequest,
    stop: &StopSignal,
    tally: &mut ReplayTally,
    show: Show<'_>,
) -> Result<(), Failure> {
    while !stop.is_stopping() {
        show(tally);
        match reader.next(SLICE).map_err(unreachable)? {
            Next::Record(letter) => {
                let choice = choose(request, &letter, tally);
                if tally.is_limited {
                    return Ok(());
                }
                tally.count(choice);
            }
            Next::Nothing => {}
            Next::End => return Ok(()),
        }
    }
    tally.is_interrupted = true;
    Ok(())
}
