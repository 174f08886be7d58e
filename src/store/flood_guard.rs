//! The guard against floods of rejections, shared by the writers of live messages. `core/flood.rs` counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::error;

use crate::config::{self, OnFlood};
use crate::core::flood::{RejectionCount, RejectionWindow, Runs};
use crate::core::offset_tracker::Commit;
use crate::core::partition::{Epoch, Offset, RecordId, TopicPartition};
use crate::core::rejection::Reason;
use crate::kafka::{AssignedPartition, CommitNotes};
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
///
/// Commits carry what was counted (`CommitNotes`), so that a restart goes on counting. Where a message was refused as one too
/// many, nothing of its partition is rejected until that message has another end or the limits allow more. Otherwise good
/// messages, which a restart reads again, would make room, and each restart would reject the same messages once more.
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
    /// The guard has paused the worker. Once the switch is off again, everything is counted anew.
    has_paused: bool,
    /// Where no rejection is allowed, the end of a pause lets the message pass that caused it.
    passes: u32,
}

#[derive(Default)]
struct PartitionCounts {
    /// The log that these counts are about.
    epoch: Option<Epoch>,
    runs: Runs,
    window: Option<RejectionWindow>,
    /// Behind the last message that was counted.
    up_to: Option<Offset>,
    /// The message that would have been one too many. While it is set, nothing is counted.
    refused: Option<Offset>,
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
        for id in messages {
            let Some(counted) = counts.partition(id).filter(|counted| !counted.is_flooded()) else {
                continue;
            };
            counted.runs.accepted();
            if let Some(limit) = self.limits.window {
                counted.window(limit).accept(1);
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
        for id in messages {
            let Some(counted) = counts.partition(id) else {
                continue;
            };
            counted.has_ended(id);
            if !counted.is_flooded() {
                counted.runs.stored();
                counts.runs.stored();
            }
        }
    }

    /// Counts a message that is about to be rejected, unless it is one too many. A message that is redirected because
    /// MongoDB is unavailable is no rejection. `was_accepted`: it has become a document, and MongoDB has refused that.
    pub(super) fn admit(&self, id: RecordId, reason: Reason, was_accepted: bool) -> Admission {
        if !self.is_on() {
            return Admission::Admitted;
        }
        let mut counts = self.counts();
        let counts = &mut *counts;
        let (of_all, passes) = (counts.runs, counts.passes);
        let Some(counted) = counts.partition(id) else {
            return Admission::Admitted;
        };
        if reason == Reason::MongodbUnavailable {
            counted.has_ended(id);
            return Admission::Admitted;
        }
        if counted.is_flooded() {
            return self.flood(id, reason, counted);
        }
        let Limits { in_a_row, window } = self.limits;
        let is_allowed = (in_a_row == 0 || of_all.of(was_accepted) < in_a_row)
            && window.is_none_or(|limit| {
                let window = counted.window(limit);
                if was_accepted {
                    window.reject_accepted()
                } else {
                    window.reject()
                }
            });
        if !is_allowed && passes == 0 {
            counted.runs.at_least(of_all);
            counted.refused = Some(id.offset);
            return self.flood(id, reason, counted);
        }
        counted.runs.rejected(was_accepted);
        counted.note(id);
        counts.runs.rejected(was_accepted);
        counts.passes -= u32::from(!is_allowed);
        Admission::Admitted
    }

    /// Why the message can't be rejected.
    fn flood(&self, id: RecordId, reason: Reason, counted: &PartitionCounts) -> Admission {
        let in_a_row = counted.runs.longest();
        let limit = self.limits.in_a_row;
        Admission::Flood(match &counted.window {
            Some(window) if limit == 0 || in_a_row < limit => format!(
                "{} of the last {} records of partition {} were rejected, and the next one would be for `{reason}`: that is \
                 more than `consumer.max_rejection_ratio` allows of `consumer.rejection_window`",
                window.rejected(),
                window.messages(),
                id.partition,
            ),
            _ => format!(
                "{in_a_row} records in a row were rejected, and the next one would be for `{reason}`: that is more than \
                 `consumer.max_consecutive_rejections` allows"
            ),
        })
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

    /// What was counted of a partition before it was assigned to this worker.
    pub fn restore(&self, assigned: &AssignedPartition, count: RejectionCount) {
        let Limits { in_a_row, window } = self.limits;
        // A limit that allows more now ends a flood, and so does a start behind the message.
        let is_too_many = (in_a_row > 0 && count.in_a_row >= in_a_row)
            || window.is_some_and(|(_, allowed)| count.rejected >= allowed);
        let refused = count
            .refused
            .filter(|&offset| is_too_many && offset >= assigned.start);
        // What is read again counts once more. For the share that changes little, but a run would be longer than it is.
        let is_exact = refused.is_some() || assigned.start >= count.up_to;
        let runs = Runs::restored(if is_exact { count.in_a_row } else { 0 });
        let mut counts = self.counts();
        counts.runs.at_least(runs);
        let restored = PartitionCounts {
            epoch: Some(assigned.epoch),
            runs,
            window: window
                .map(|(length, allowed)| RejectionWindow::restored(length, allowed, count)),
            up_to: Some(count.up_to),
            refused,
        };
        counts.partitions.insert(assigned.partition, restored);
    }

    /// If an operator has ended the guard's pause, everything is counted anew.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.has_paused && !self.pause.is_on() {
            let allows_none = self.limits.window.is_some_and(|(_, allowed)| allowed == 0);
            *counts = Counts {
                passes: u32::from(allows_none),
                ..Counts::default()
            };
        }
        counts
    }
}

impl Counts {
    /// The counts of the message's partition, which begin anew with another log. `None`: the message is a late one of a log
    /// that is read no more.
    fn partition(&mut self, id: RecordId) -> Option<&mut PartitionCounts> {
        let counted = self.partitions.entry(id.partition).or_default();
        if counted.epoch.is_none_or(|epoch| epoch < id.epoch) {
            *counted = PartitionCounts {
                epoch: Some(id.epoch),
                ..PartitionCounts::default()
            };
        }
        (counted.epoch == Some(id.epoch)).then_some(counted)
    }
}

impl PartitionCounts {
    fn window(&mut self, (length, allowed): (u32, u32)) -> &mut RejectionWindow {
        let new = || RejectionWindow::new(length, allowed);
        self.window.get_or_insert_with(new)
    }

    fn is_flooded(&self) -> bool {
        self.refused.is_some()
    }

    /// This message was counted.
    fn note(&mut self, id: RecordId) {
        self.up_to = self.up_to.max(Some(id.offset.next()));
    }

    /// This message has another end than a rejection. If it is the one that was refused, the flood is over.
    fn has_ended(&mut self, id: RecordId) {
        if self.refused == Some(id.offset) {
            *self = Self {
                epoch: self.epoch,
                up_to: self.up_to,
                ..Self::default()
            };
        }
    }
}

impl CommitNotes for FloodGuard {
    fn rejections(&self, commit: &Commit) -> Option<RejectionCount> {
        let counts = self.counts();
        let counted = counts.partitions.get(&commit.partition)?;
        // The beginning is also committed where a topic was recreated, and the counts are still those of the old log.
        if commit.offset == Offset(0) || counted.epoch != Some(commit.epoch) {
            return None;
        }
        let window = counted.window.as_ref();
        Some(RejectionCount {
            rejected: window.map_or(0, RejectionWindow::rejected),
            messages: window.map_or(0, RejectionWindow::messages),
            in_a_row: counted.runs.longest(),
            up_to: counted.up_to?,
            refused: counted.refused,
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

    fn guard_with(limits: Limits) -> FloodGuard {
        FloodGuard::with_limits(limits, OnFlood::Stop, PauseSwitch::default())
    }

    fn assigned(start: i64) -> AssignedPartition {
        AssignedPartition {
            partition: PARTITION,
            epoch: EPOCH,
            start: Offset(start),
            committed: Some(Offset(start)),
        }
    }

    /// What a commit behind the first message carries.
    fn note_of(guard: &FloodGuard) -> Option<RejectionCount> {
        guard.rejections(&Commit {
            partition: PARTITION,
            epoch: EPOCH,
            offset: Offset(1),
        })
    }

    fn of_another_partition(offset: i64) -> RecordId {
        RecordId {
            partition: TopicPartition::consumed(1),
            ..message(offset)
        }
    }

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
        assert_eq!(note_of(&guard).unwrap().in_a_row, 0);
        // Those that MongoDB refuses are a run of their own, which only a stored message ends.
        assert!((0..2).all(|_| is_admitted(&guard, true)));
        guard.accepted([message(0); 10]);
        assert_eq!(note_of(&guard).unwrap().in_a_row, 2);
        guard.stored([message(0)]);
        assert!((0..3).all(|_| is_admitted(&guard, true)) && !is_admitted(&guard, true));
    }

    /// The next worker reads what wasn't committed again: good messages, and those that were rejected before the flood.
    #[test]
    fn a_restart_refuses_what_was_refused_and_rejects_nothing_twice() {
        let in_a_row = Limits {
            in_a_row: 3,
            window: None,
        };
        let by_share = |allowed| Limits {
            in_a_row: 0,
            window: Some((10, allowed)),
        };
        for (limits, first) in [
            (LIMITS, 3),
            (in_a_row, 3),
            (by_share(2), 2),
            (by_share(7), 7),
        ] {
            let mut count = None;
            for expected in [first, 0, 0] {
                let guard = guard_with(limits);
                if let Some(count) = count {
                    guard.restore(&assigned(0), count);
                }
                // Another writer has newer messages, before and behind.
                guard.accepted((60..100).map(message));
                guard.stored((60..100).map(message));
                // Those of another partition are all good.
                guard.accepted((0..100).map(of_another_partition));
                guard.stored((0..100).map(of_another_partition));
                // One batch: good messages, then bad ones.
                guard.accepted((0..20).map(message));
                let sent = (20..60).take_while(|&offset| admits(&guard, message(offset)));
                assert_eq!(sent.count(), expected, "{limits:?}");
                guard.accepted((100..120).map(message));
                guard.stored((100..120).map(message));
                count = note_of(&guard);
                let refused = Offset(20 + i64::try_from(first).unwrap());
                assert_eq!(count.unwrap().refused, Some(refused), "{limits:?}");
            }
        }
    }

    #[test]
    fn a_flood_is_over_when_its_message_is_stored_or_passed_or_the_limits_allow_more() {
        let count = RejectionCount {
            rejected: 5,
            messages: 10,
            in_a_row: 1,
            up_to: Offset(40),
            refused: Some(Offset(30)),
        };
        let restored = |limits, start| {
            let guard = guard_with(limits);
            guard.restore(&assigned(start), count);
            guard
        };
        let guard = restored(LIMITS, 20);
        assert!(!admits(&guard, message(25)) && !admits(&guard, message(50)));
        guard.stored([message(29)]);
        assert!(!admits(&guard, message(50)));
        guard.stored([message(30)]);
        assert!((0..3).all(|_| admits(&guard, message(50))) && !admits(&guard, message(51)));
        let redirected = restored(LIMITS, 20);
        redirected.admit(message(30), Reason::MongodbUnavailable, true);
        assert!(admits(&redirected, message(50)));
        let more = Limits {
            in_a_row: 3,
            window: Some((10, 6)),
        };
        assert!(admits(&restored(more, 20), message(30)));
        let behind = restored(LIMITS, 31);
        behind.accepted((40..50).map(message));
        assert!(admits(&behind, message(50)));
    }

    #[test]
    fn a_run_is_restored_where_nothing_of_it_is_read_again() {
        let count = RejectionCount {
            rejected: 3,
            messages: 10,
            in_a_row: 2,
            up_to: Offset(100),
            refused: None,
        };
        for (start, admitted) in [(100, 1), (97, 3)] {
            let guard = guard(&PauseSwitch::default());
            guard.restore(&assigned(start), count);
            assert_eq!(note_of(&guard).unwrap().rejected, 3);
            let sent = (start..200).take_while(|&offset| admits(&guard, message(offset)));
            assert_eq!(sent.count(), admitted, "from {start}");
        }
    }

    #[test]
    fn counts_of_another_log_are_not_handed_on_and_do_not_count() {
        let guard = guard(&PauseSwitch::default());
        assert!((0..3).all(|offset| admits(&guard, message(offset))));
        assert!(!admits(&guard, message(3)));
        assert!(note_of(&guard).unwrap().refused.is_some());
        let commit = |epoch, offset| Commit {
            partition: PARTITION,
            epoch,
            offset: Offset(offset),
        };
        let new_log = Epoch(2);
        assert_eq!(guard.rejections(&commit(EPOCH, 0)), None);
        assert_eq!(guard.rejections(&commit(new_log, 5)), None);
        let first = RecordId {
            epoch: new_log,
            ..message(0)
        };
        guard.accepted([first]);
        assert!(admits(&guard, first));
        let count = guard.rejections(&commit(new_log, 1)).unwrap();
        assert_eq!((count.rejected, count.refused), (1, None));
        assert!(admits(&guard, message(4)), "late, of the old log");
    }

    #[test]
    fn resume_lets_one_message_pass_where_none_is_allowed() {
        let switch = PauseSwitch::default();
        let limits = Limits {
            in_a_row: 0,
            window: Some((10, 0)),
        };
        let guard = FloodGuard::with_limits(limits, OnFlood::Pause, switch.clone());
        for offset in 0..3 {
            assert!(!admits(&guard, message(offset * 100)));
            guard.pause("why");
            switch.order(None);
            assert!(admits(&guard, message(offset * 100)));
            guard.accepted((1..50).map(|next| message(offset * 100 + next)));
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
            refused: Some(Offset(0)),
        };
        after_a_reload.restore(&assigned(0), count);
        assert!(!is_admitted(&after_a_reload, false));
        switch.order(None);
        assert!(is_admitted(&after_a_reload, false));
    }
}
