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

#[cfg(test)]
mod tests;

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
        // What an earlier worker counted is old by the time that there is a limit again.
        if !self.is_on() {
            return None;
        }
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
