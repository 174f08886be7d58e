//! The guard against floods of rejections, shared by the writers of live messages. `core/flood.rs` counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::error;

use crate::config::{self, OnFlood};
use crate::core::flood::{RejectionCount, RejectionWindow};
use crate::core::partition::TopicPartition;
use crate::core::rejection::Reason;
use crate::kafka::CommitNotes;
use crate::observe::status::{Pause, time_text};
use crate::runtime::PauseSwitch;

/// Who has paused the worker, as the status shows it.
const BY: &str = "the guard against floods of rejections";

/// How many messages may be rejected, and what happens when more are.
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
    /// Whether the guard has paused the worker, and nobody has ended that.
    has_paused: AtomicBool,
    /// Behind a lock, because all writers count. They take it once a batch, and once a rejection.
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    in_a_row: u64,
    windows: HashMap<TopicPartition, RejectionWindow>,
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
        Self {
            limits,
            on_flood,
            pause,
            has_paused: AtomicBool::new(false),
            counts: Mutex::default(),
        }
    }

    pub(super) fn on_flood(&self) -> OnFlood {
        self.on_flood
    }

    fn is_on(&self) -> bool {
        self.limits.in_a_row > 0 || self.limits.window.is_some()
    }

    /// Counts a message that has become a document.
    pub(super) fn accepted(&self, partition: TopicPartition) {
        if let Some((length, allowed)) = self.limits.window {
            let mut counts = self.counts();
            counts.window(partition, length, allowed).accept(1);
        }
    }

    /// Messages were stored: no run of rejections goes on.
    pub(super) fn stored(&self) {
        if self.limits.in_a_row > 0 {
            self.counts().in_a_row = 0;
        }
    }

    /// Whether each message has to be counted.
    pub(super) fn has_window(&self) -> bool {
        self.limits.window.is_some()
    }

    /// Counts a message that is about to be rejected, unless it is one too many. A message that is only redirected counts
    /// neither way. `was_accepted`: it has become a document, and MongoDB has refused that.
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
        if in_a_row > 0 && counts.in_a_row >= in_a_row {
            return Admission::Flood(format!(
                "{} records in a row were rejected, and the next one would be for `{reason}`: that is more than \
                 `consumer.max_consecutive_rejections` allows",
                counts.in_a_row
            ));
        }
        if let Some((length, allowed)) = window {
            let window = counts.window(partition, length, allowed);
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
        counts.in_a_row += 1;
        Admission::Admitted
    }

    /// Pauses the worker, if it isn't paused already.
    pub(super) fn pause(&self, why: &str) {
        if self.has_paused.swap(true, Ordering::AcqRel) {
            return;
        }
        error!(
            "paused, because too many messages are rejected; look at them, and go on with `resume`: {why}"
        );
        let before = self.pause.order(Some(Pause {
            since: time_text(Timestamp::now()),
            by: BY.to_owned(),
            reason: Some(why.to_owned()),
            is_flood: true,
        }));
        // An operator's pause holds; its end is the end of this one.
        let _ = before;
    }

    /// Whether the guard has paused the worker, and nobody has ended that.
    pub fn has_paused(&self) -> bool {
        self.has_paused.load(Ordering::Acquire) && self.pause.is_on()
    }

    /// Whether an operator has ended the pause. Then everything is counted anew.
    pub(super) fn is_resumed(&self) -> bool {
        if self.pause.is_on() {
            return false;
        }
        if self.has_paused.swap(false, Ordering::AcqRel) {
            *self.counts() = Counts::default();
        }
        true
    }

    /// What was counted of a partition before it was assigned to this worker.
    pub fn restore(&self, partition: TopicPartition, count: RejectionCount) {
        let mut counts = self.counts();
        counts.in_a_row = counts.in_a_row.max(count.in_a_row);
        if let Some((length, allowed)) = self.limits.window {
            let window = RejectionWindow::restored(length, allowed, count);
            counts.windows.insert(partition, window);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn window(
        &mut self,
        partition: TopicPartition,
        length: u32,
        allowed: u32,
    ) -> &mut RejectionWindow {
        let new = || RejectionWindow::new(length, allowed);
        self.windows.entry(partition).or_insert_with(new)
    }
}

impl CommitNotes for FloodGuard {
    fn rejections(&self, partition: TopicPartition) -> Option<RejectionCount> {
        if !self.is_on() {
            return None;
        }
        let counts = self.counts();
        let window = counts.windows.get(&partition);
        Some(RejectionCount {
            rejected: window.map_or(0, RejectionWindow::rejected),
            messages: window.map_or(0, RejectionWindow::messages),
            in_a_row: counts.in_a_row,
        })
    }
}
