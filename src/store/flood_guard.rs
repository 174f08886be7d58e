//! The guard against floods of rejections, shared by the writers of live messages. `core/flood.rs` counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::error;

use crate::config::{self, OnFlood};
use crate::core::flood::{RejectionCount, RejectionWindow, Runs};
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::core::rejection::Reason;
use crate::kafka::CommitNotes;
use crate::observe::status::{Pause, time_text};
use crate::runtime::PauseSwitch;

/// Who has paused the worker, as the status shows it.
const BY: &str = "the guard against floods of rejections";

/// How many messages may be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// In a row; 0 for no limit.
    in_a_row: u64,
    /// How many messages of a partition are looked at, and how many of them may be rejected. `None` for no limit.
    window: Option<(u32, u32)>,
}

/// Counts rejections before they are sent to the dead letter topic.
pub struct FloodGuard {
    limits: Limits,
    on_flood: OnFlood,
    pause: PauseSwitch,
    /// Behind a lock, because all writers count. They take it a few times a batch, and once a rejection.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Of all partitions.
    runs: Runs,
    partitions: HashMap<TopicPartition, PartitionCounts>,
    /// A message was one too many, so nothing is counted as good any more: the counts that led to this are those that a
    /// restart goes on from.
    has_flooded: bool,
    /// The guard has paused the worker. Once the switch is off again, everything is counted anew.
    has_paused: bool,
    /// An operator has ended a pause. So that this lets the message pass that caused it, each window allows at least one.
    was_resumed: bool,
}

#[derive(Default)]
struct PartitionCounts {
    runs: Runs,
    window: Option<RejectionWindow>,
    /// Behind the last message that was counted.
    counted: Option<Place>,
    /// Messages below this were counted before the partition was assigned. They are read again, because they were not
    /// committed yet.
    counted_before: Option<Place>,
}

/// An offset in the log that was read under this epoch.
#[derive(Debug, Clone, Copy)]
struct Place {
    epoch: Epoch,
    offset: Offset,
}

/// Whether one more message may be rejected.
pub(super) enum Admission {
    Admitted,
    /// It would be one too many; with the reason.
    Flood(String),
}

impl FloodGuard {
    pub fn new(config: &config::Consumer, pause: PauseSwitch) -> Self {
        let (window, ratio) = (config.rejection_window, config.max_rejection_ratio);
        let limits = Limits {
            in_a_row: config.max_consecutive_rejections,
            window: (!ratio.is_everything()).then(|| (window, ratio.of(window))),
        };
        Self::with_limits(limits, config.on_flood, pause)
    }

    /// Everything may be rejected: for replays, whose messages were rejected before.
    pub fn off() -> Self {
        let limits = Limits {
            in_a_row: 0,
            window: None,
        };
        Self::with_limits(limits, OnFlood::Stop, PauseSwitch::default())
    }

    fn with_limits(limits: Limits, on_flood: OnFlood, pause: PauseSwitch) -> Self {
        // A pause outlives a reload.
        let has_paused = pause.pause().is_some_and(|pause| pause.is_flood);
        Self {
            limits,
            on_flood,
            pause,
            counts: Mutex::new(Counts {
                has_paused,
                ..Counts::default()
            }),
        }
    }

    pub(super) fn on_flood(&self) -> OnFlood {
        self.on_flood
    }

    /// Whether messages have to be counted.
    pub fn is_on(&self) -> bool {
        self.limits.in_a_row > 0 || self.limits.window.is_some()
    }

    /// Counts messages that have become documents, in their order.
    pub(super) fn accepted(&self, messages: impl IntoIterator<Item = RecordId>) {
        if !self.is_on() {
            return;
        }
        let mut counts = self.counts();
        let counts = &mut *counts;
        if counts.is_frozen() {
            return;
        }
        let window = self.window(counts);
        for id in messages {
            let counted = counts.partitions.entry(id.partition).or_default();
            if counted.was_counted_before(id) {
                continue;
            }
            counted.runs.accepted();
            if let Some((length, allowed)) = window {
                counted.window(length, allowed).accept(1);
            }
            counted.note(id);
            counts.runs.accepted();
        }
    }

    /// These messages were stored.
    pub(super) fn stored(&self, messages: impl IntoIterator<Item = RecordId>) {
        if !self.is_on() {
            return;
        }
        let mut counts = self.counts();
        let counts = &mut *counts;
        if counts.is_frozen() {
            return;
        }
        for id in messages {
            let counted = counts.partitions.entry(id.partition).or_default();
            if !counted.was_counted_before(id) {
                counted.runs.stored();
                counts.runs.stored();
            }
        }
    }

    /// The length of a window, and how many of its messages may be rejected.
    fn window(&self, counts: &Counts) -> Option<(u32, u32)> {
        let least = u32::from(counts.was_resumed);
        self.limits
            .window
            .map(|(length, allowed)| (length, allowed.max(least)))
    }

    /// Counts a message that is about to be rejected, unless it is one too many. A message that is redirected because
    /// MongoDB is unavailable is no rejection. `was_accepted`: it has become a document, and MongoDB has refused that.
    ///
    /// A message that was counted before and is read again isn't counted twice. Where the limit was reached then, it is
    /// refused again: otherwise each restart would reject the same messages once more.
    pub(super) fn admit(&self, id: RecordId, reason: Reason, was_accepted: bool) -> Admission {
        if !self.is_on() || reason == Reason::MongodbUnavailable {
            return Admission::Admitted;
        }
        let mut counts = self.counts();
        let counts = &mut *counts;
        let in_a_row = self.limits.in_a_row;
        let window = self.window(counts);
        let RecordId { partition, .. } = id;
        let of_all = counts.runs;
        let counted = counts.partitions.entry(partition).or_default();
        let was_counted = counted.was_counted_before(id);
        let mut before = of_all.of(was_accepted);
        if was_counted {
            before = before.max(counted.runs.of(was_accepted));
        }
        if in_a_row > 0 && before >= in_a_row {
            counted.runs.at_least(of_all);
            counts.has_flooded = true;
            return Admission::Flood(format!(
                "{before} records in a row were rejected, and the next one would be for `{reason}`: that is more than \
                 `consumer.max_consecutive_rejections` allows"
            ));
        }
        if let Some((length, allowed)) = window {
            let window = counted.window(length, allowed);
            let is_allowed = match (was_counted, was_accepted) {
                (true, true) => window.may_reject_accepted(),
                (true, false) => window.may_reject(),
                (false, true) => window.reject_accepted(),
                (false, false) => window.reject(),
            };
            if !is_allowed {
                let (rejected, messages) = (window.rejected(), window.messages());
                counts.has_flooded = true;
                return Admission::Flood(format!(
                    "{rejected} of the last {messages} records of partition {partition} were rejected, and the next one would be for \
                     `{reason}`: that is more than `consumer.max_rejection_ratio` allows of \
                     `consumer.rejection_window`",
                ));
            }
        }
        if !was_counted {
            counted.runs.rejected(was_accepted);
            counted.note(id);
            counts.runs.rejected(was_accepted);
        }
        Admission::Admitted
    }

    /// Pauses the worker, if it isn't paused already.
    pub(super) fn pause(&self, why: &str) {
        let mut counts = self.counts();
        if std::mem::replace(&mut counts.has_paused, true) {
            return;
        }
        // Under the lock, so that no writer sees a pause that isn't ordered yet. If an operator has paused the worker
        // already, that pause holds, and its end is the end of this one.
        self.pause.order(Some(Pause {
            since: time_text(Timestamp::now()),
            by: BY.to_owned(),
            reason: Some(why.to_owned()),
            is_flood: true,
        }));
        drop(counts);
        error!(
            "paused, because too many messages are rejected; look at them, and go on with `resume`: {why}"
        );
    }

    /// Whether the guard has paused the worker, and nobody has ended that.
    pub fn has_paused(&self) -> bool {
        self.counts().has_paused
    }

    /// What was counted of a partition before it was assigned to this worker under `epoch`.
    pub fn restore(&self, partition: TopicPartition, epoch: Epoch, count: RejectionCount) {
        let mut counts = self.counts();
        let runs = Runs::restored(count.in_a_row);
        counts.runs.at_least(runs);
        let window = self
            .window(&counts)
            .map(|(length, allowed)| RejectionWindow::restored(length, allowed, count));
        let place = Some(Place {
            epoch,
            offset: count.up_to,
        });
        counts.partitions.insert(
            partition,
            PartitionCounts {
                runs,
                window,
                counted: place,
                counted_before: place,
            },
        );
    }

    /// If an operator has ended the guard's pause, everything is counted anew.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.has_paused && !self.pause.is_on() {
            *counts = Counts {
                was_resumed: true,
                ..Counts::default()
            };
        }
        counts
    }
}

impl Counts {
    fn is_frozen(&self) -> bool {
        self.has_flooded || self.has_paused
    }
}

impl PartitionCounts {
    fn was_counted_before(&self, id: RecordId) -> bool {
        self.counted_before
            .is_some_and(|place| place.epoch == id.epoch && id.offset < place.offset)
    }

    /// This message was counted.
    fn note(&mut self, id: RecordId) {
        let next = id.offset.next();
        let offset = match self.counted {
            // A late message of a log that is read no more.
            Some(place) if place.epoch > id.epoch => return,
            Some(place) if place.epoch == id.epoch => place.offset.max(next),
            _ => next,
        };
        self.counted = Some(Place {
            epoch: id.epoch,
            offset,
        });
    }

    fn window(&mut self, length: u32, allowed: u32) -> &mut RejectionWindow {
        let new = || RejectionWindow::new(length, allowed);
        self.window.get_or_insert_with(new)
    }
}

impl CommitNotes for FloodGuard {
    fn rejections(&self, partition: TopicPartition) -> Option<RejectionCount> {
        if !self.is_on() {
            return None;
        }
        let counts = self.counts();
        let counted = counts.partitions.get(&partition);
        let window = counted.and_then(|counted| counted.window.as_ref());
        Some(RejectionCount {
            rejected: window.map_or(0, RejectionWindow::rejected),
            messages: window.map_or(0, RejectionWindow::messages),
            in_a_row: counted.map_or(0, |counted| counted.runs.longest()),
            up_to: counted
                .and_then(|counted| counted.counted)
                .map_or(Offset(0), |place| place.offset),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        in_a_row: 3,
        window: Some((10, 5)),
    };

    fn guard(pause: &PauseSwitch) -> FloodGuard {
        FloodGuard::with_limits(LIMITS, OnFlood::Pause, pause.clone())
    }

    const PARTITION: TopicPartition = TopicPartition::consumed(0);
    const EPOCH: Epoch = Epoch(1);

    fn message(offset: i64) -> RecordId {
        RecordId {
            partition: PARTITION,
            epoch: EPOCH,
            offset: Offset(offset),
        }
    }

    fn admits(guard: &FloodGuard, id: RecordId) -> bool {
        let admission = guard.admit(id, Reason::InvalidJson, false);
        matches!(admission, Admission::Admitted)
    }

    fn is_admitted(guard: &FloodGuard, was_accepted: bool) -> bool {
        let admission = guard.admit(message(0), Reason::InvalidJson, was_accepted);
        matches!(admission, Admission::Admitted)
    }

    #[test]
    fn a_good_message_between_two_rejections_ends_the_run() {
        let guard = guard(&PauseSwitch::default());
        for _ in 0..2 {
            assert!(is_admitted(&guard, false) && is_admitted(&guard, false));
            guard.accepted([message(0); 8]);
        }
        assert_eq!(guard.rejections(PARTITION).unwrap().in_a_row, 0);
        // Those that MongoDB refuses are a run of their own, which only a stored message ends.
        assert!((0..2).all(|_| is_admitted(&guard, true)));
        guard.accepted([message(0); 10]);
        assert_eq!(guard.rejections(PARTITION).unwrap().in_a_row, 2);
        guard.stored([message(0)]);
        assert!((0..3).all(|_| is_admitted(&guard, true)) && !is_admitted(&guard, true));
    }

    /// The next worker reads what wasn't committed again: good messages, and those that were rejected before the flood.
    #[test]
    fn a_restart_refuses_what_was_refused_and_rejects_nothing_twice() {
        let start = |count: Option<RejectionCount>| {
            let guard = guard(&PauseSwitch::default());
            if let Some(count) = count {
                guard.restore(PARTITION, EPOCH, count);
            }
            // One batch: good messages, then bad ones.
            guard.accepted((0..20).map(message));
            let sent = (20..60).take_while(|&offset| admits(&guard, message(offset)));
            let sent = sent.count();
            // Other writers go on until the process ends.
            guard.accepted((60..80).map(message));
            guard.stored((60..80).map(message));
            (sent, guard.rejections(PARTITION).unwrap())
        };
        let (sent, mut count) = start(None);
        assert_eq!((sent, count.in_a_row, count.up_to), (3, 3, Offset(23)));
        for _ in 0..3 {
            let (sent, after) = start(Some(count));
            assert_eq!(sent, 0);
            assert_eq!(
                (after.in_a_row, after.rejected, after.up_to),
                (3, 3, Offset(23))
            );
            count = after;
        }
    }

    #[test]
    fn a_window_that_was_full_of_good_messages_does_not_hide_a_flood_from_a_restart() {
        let limits = Limits {
            in_a_row: 0,
            window: Some((10, 2)),
        };
        let mut count = None;
        for expected in [2, 0, 0] {
            let guard = FloodGuard::with_limits(limits, OnFlood::Stop, PauseSwitch::default());
            if let Some(count) = count {
                guard.restore(PARTITION, EPOCH, count);
            }
            guard.accepted((0..30).map(message));
            let sent = (30..60).take_while(|&offset| admits(&guard, message(offset)));
            assert_eq!(sent.count(), expected);
            count = guard.rejections(PARTITION);
        }
    }

    #[test]
    fn after_a_crash_nothing_is_counted_twice() {
        let guard = guard(&PauseSwitch::default());
        let count = RejectionCount {
            rejected: 4,
            messages: 10,
            in_a_row: 2,
            up_to: Offset(100),
        };
        guard.restore(PARTITION, EPOCH, count);
        guard.accepted((80..90).map(message));
        assert!((90..100).all(|offset| admits(&guard, message(offset))));
        assert_eq!(guard.rejections(PARTITION), Some(count));
        assert!(admits(&guard, message(100)), "the fifth of five");
        guard.accepted([message(101)]);
        let of_another_log = RecordId {
            epoch: Epoch(2),
            ..message(0)
        };
        guard.accepted((0..10).map(|_| of_another_log));
        let counted = guard.rejections(PARTITION).unwrap();
        assert_eq!((counted.rejected, counted.up_to), (0, Offset(1)));
    }

    #[test]
    fn resume_lets_a_message_pass_where_none_is_allowed() {
        let switch = PauseSwitch::default();
        let limits = Limits {
            in_a_row: 0,
            window: Some((10, 0)),
        };
        let guard = FloodGuard::with_limits(limits, OnFlood::Pause, switch.clone());
        for offset in 0..3 {
            assert!(!admits(&guard, message(offset)));
            guard.pause("why");
            switch.order(None);
            assert!(admits(&guard, message(offset)));
        }
    }

    #[test]
    fn a_pause_is_ordered_once_and_its_end_counts_anew_whoever_sees_it() {
        let switch = PauseSwitch::default();
        let guard = guard(&switch);
        assert!((0..3).all(|_| is_admitted(&guard, false)));
        assert!(!is_admitted(&guard, false));
        guard.pause("why");
        guard.pause("another writer");
        assert!(guard.has_paused() && switch.pause().unwrap().is_flood);
        assert!(!is_admitted(&guard, false), "still paused");
        switch.order(None);
        assert!(!guard.has_paused());
        assert!((0..3).all(|_| is_admitted(&guard, false)));
        assert!(!is_admitted(&guard, false), "the next flood");
        guard.pause("why");
        assert!(guard.has_paused() && switch.is_on());
    }

    #[test]
    fn a_pause_that_was_inherited_ends_like_one_of_its_own() {
        let switch = PauseSwitch::default();
        guard(&switch).pause("why");
        let after_a_reload = guard(&switch);
        let count = RejectionCount {
            rejected: 5,
            messages: 10,
            in_a_row: 3,
            up_to: Offset(0),
        };
        after_a_reload.restore(PARTITION, EPOCH, count);
        assert!(!is_admitted(&after_a_reload, false));
        switch.order(None);
        assert!(is_admitted(&after_a_reload, false));
    }
}
