//! What the observer sees of the offsets: lags, ages, and the partitions that stand still.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::observer::CommitObserver;
use crate::core::end_offset::EndOffset;
use crate::core::offset_tracker::OffsetTracker;
use crate::core::partition::TopicPartition;
use crate::core::stall::{StallWatch, Stalled, Standing};
use crate::runtime::PauseSwitch;

pub(super) struct OffsetView {
    observer: Arc<dyn CommitObserver>,
    /// How far each partition can be read, as Kafka last reported it.
    end_offsets: HashMap<TopicPartition, EndOffset>,
    /// Partitions that are ours and whose starting offsets aren't known yet.
    waiting_for_start: BTreeSet<TopicPartition>,
    stall_watch: StallWatch,
    pause: PauseSwitch,
    /// Commits may stand still while a busy partition moves on.
    commit_watch: StallWatch,
    /// What the observer was told last.
    stalled: Vec<Stalled>,
}

impl OffsetView {
    pub(super) fn new(
        observer: Arc<dyn CommitObserver>,
        stalled_after: Duration,
        pause: PauseSwitch,
    ) -> Self {
        Self {
            observer,
            end_offsets: HashMap::new(),
            waiting_for_start: BTreeSet::new(),
            stall_watch: StallWatch::new(stalled_after),
            pause,
            commit_watch: StallWatch::new(stalled_after),
            stalled: Vec::new(),
        }
    }

    pub(super) fn set_end_offsets(&mut self, end_offsets: Vec<EndOffset>) {
        let by_partition = end_offsets.into_iter().map(|end| (end.partition, end));
        self.end_offsets = by_partition.collect();
    }

    pub(super) fn wait_for_start(&mut self, partitions: Vec<TopicPartition>) {
        self.waiting_for_start.extend(partitions);
    }

    /// The partition has begun, or is no longer ours.
    pub(super) fn end_wait(&mut self, partition: TopicPartition) {
        self.waiting_for_start.remove(&partition);
    }

    /// Tells the observer. `is_commit_pending`: a commit is under way, or the last one failed.
    pub(super) fn show(&mut self, now: Instant, tracker: &OffsetTracker, is_commit_pending: bool) {
        self.observer.oldest_in_flight(tracker.oldest_in_flight());
        for (partition, progress) in tracker.progress() {
            let in_flight = tracker.in_flight(partition);
            self.observer.partition_in_flight(partition, in_flight);
            if let Some(end) = self.end_offsets.get(&partition) {
                let lag = end.lag(progress);
                let oldest = progress.oldest_waiting(lag > 0);
                self.observer.lag(partition, lag, oldest);
            }
        }
        let read = tracker.progress().map(|(partition, progress)| {
            let end = self.end_offsets.get(&partition);
            let has_records =
                !self.pause.is_on() && end.is_none_or(|end| end.has_records(progress));
            (partition, progress.standing(has_records, is_commit_pending))
        });
        let waiting = self.waiting_for_start.iter();
        let standings = read.chain(waiting.map(|&partition| (partition, Standing::BEFORE_START)));
        let mut stalled = self.stall_watch.look(now, standings);
        let commits = tracker
            .progress()
            .map(|(partition, progress)| (partition, progress.commit_standing(is_commit_pending)));
        let commits = self.commit_watch.look(now, commits);
        let is_new = |commit: &Stalled| stalled.iter().all(|s| s.partition != commit.partition);
        let commits: Vec<Stalled> = commits.into_iter().filter(is_new).collect();
        stalled.extend(commits);
        if stalled != self.stalled {
            self.observer.stalled(&stalled);
            self.stalled = stalled;
        }
    }
}
