//! The guard against floods of rejections, shared by the writers of live messages. `core/flood.rs` counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::error;

use crate::config::{self, OnFlood};
use crate::core::flood::{RejectionCount, RejectionWindow, Runs};
use crate::core::partition::TopicPartition;
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
    /// The guard has paused the worker. Once the switch is off again, everything is counted anew.
    has_paused: bool,
}

#[derive(Default)]
struct PartitionCounts {
    runs: Runs,
    window: Option<RejectionWindow>,
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

    /// Counts messages that have become documents, by the partition of each, in their order.
    pub(super) fn accepted(&self, partitions: impl IntoIterator<Item = TopicPartition>) {
        if !self.is_on() {
            return;
        }
        let mut counts = self.counts();
        for partition in partitions {
            counts.runs.accepted();
            let counted = counts.partitions.entry(partition).or_default();
            counted.runs.accepted();
            if let Some((length, allowed)) = self.limits.window {
                counted.window(length, allowed).accept(1);
            }
        }
    }

    /// Messages of these partitions were stored.
    pub(super) fn stored(&self, partitions: impl IntoIterator<Item = TopicPartition>) {
        if !self.is_on() {
            return;
        }
        let mut counts = self.counts();
        for partition in partitions {
            counts.runs.stored();
            counts
                .partitions
                .entry(partition)
                .or_default()
                .runs
                .stored();
        }
    }

    /// Counts a message that is about to be rejected, unless it is one too many. A message that is redirected because
    /// MongoDB is unavailable is no rejection. `was_accepted`: it has become a document, and MongoDB has refused that.
    pub(super) fn admit(
        &self,
        partition: TopicPartition,
        reason: Reason,
        was_accepted: bool,
    ) -> Admission {
        if !self.is_on() || reason == Reason::MongodbUnavailable {
            return Admission::Admitted;
        }
        let mut counts = self.counts();
        let Limits { in_a_row, window } = self.limits;
        let before = counts.runs.of(was_accepted);
        if in_a_row > 0 && before >= in_a_row {
            return Admission::Flood(format!(
                "{before} records in a row were rejected, and the next one would be for `{reason}`: that is more than \
                 `consumer.max_consecutive_rejections` allows"
            ));
        }
        let counted = counts.partitions.entry(partition).or_default();
        if let Some((length, allowed)) = window {
            let window = counted.window(length, allowed);
            let is_counted = if was_accepted {
                window.reject_accepted()
            } else {
                window.reject()
            };
            if !is_counted {
                return Admission::Flood(format!(
                    "{} of the last {} records of partition {partition} were rejected, and the next one would be for \
                     `{reason}`: that is more than `consumer.max_rejection_ratio` allows of \
                     `consumer.rejection_window`",
                    window.rejected(),
                    window.messages(),
                ));
            }
        }
        counted.runs.rejected(was_accepted);
        counts.runs.rejected(was_accepted);
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

    /// What was counted of a partition before it was assigned to this worker.
    pub fn restore(&self, partition: TopicPartition, count: RejectionCount) {
        let mut counts = self.counts();
        let runs = Runs::restored(count.in_a_row);
        counts.runs.at_least(runs);
        let window = self.limits.window;
        let window =
            window.map(|(length, allowed)| RejectionWindow::restored(length, allowed, count));
        counts
            .partitions
            .insert(partition, PartitionCounts { runs, window });
    }

    /// If an operator has ended the guard's pause, everything is counted anew.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.has_paused && !self.pause.is_on() {
            *counts = Counts::default();
        }
        counts
    }
}

impl PartitionCounts {
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

    fn is_admitted(guard: &FloodGuard, was_accepted: bool) -> bool {
        let partition = TopicPartition::consumed(0);
        let admission = guard.admit(partition, Reason::InvalidJson, was_accepted);
        matches!(admission, Admission::Admitted)
    }

    #[test]
    fn a_good_message_between_two_rejections_ends_the_run() {
        let partition = TopicPartition::consumed(0);
        let guard = guard(&PauseSwitch::default());
        for _ in 0..2 {
            assert!(is_admitted(&guard, false) && is_admitted(&guard, false));
            guard.accepted([partition; 8]);
        }
        assert_eq!(guard.rejections(partition).unwrap().in_a_row, 0);
        // Those that MongoDB refuses are a run of their own, which only a stored message ends.
        assert!((0..2).all(|_| is_admitted(&guard, true)));
        guard.accepted([partition]);
        assert!(is_admitted(&guard, true) && !is_admitted(&guard, true));
        guard.accepted([partition; 10]);
        guard.stored([partition]);
        assert!(is_admitted(&guard, true));
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
        let partition = TopicPartition::consumed(0);
        let count = RejectionCount {
            rejected: 5,
            messages: 10,
            in_a_row: 3,
        };
        after_a_reload.restore(partition, count);
        assert!(!is_admitted(&after_a_reload, false));
        switch.order(None);
        assert!(is_admitted(&after_a_reload, false));
    }
}
