//! Finds out where newly assigned partitions begin: from what the group has committed, and from the bounds of
//! their logs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use log::warn;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult as ClientResult;

use super::errors::is_authorization;
use super::queries::{Commits, Queries};
use super::topic::Topic;
use crate::config::{AutoOffsetReset, Config};
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::{FirstStart, GroupHistory, StartingOffset};
use crate::runtime::{Delays, RetryError, StopSignal, retry};

/// The longest wait for one answer about offsets.
const LONGEST_QUESTION: Duration = Duration::from_secs(10);

/// The wait before the offsets are asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long the bounds of the logs are asked for. The partitions that have no answer then are asked for later, so
/// that they don't hold up the others.
const BOUNDS_LIMIT: Duration = Duration::from_secs(5);

/// Under `auto_offset_reset: latest`, each commit is stored with this text, followed by the number.
const PARTITIONS_AT_FIRST_START: &str = "partitions at the group's first start: ";

/// Where the configuration lets the group's first start begin.
pub(super) fn first_start(config: &Config) -> FirstStart {
    match config.kafka.auto_offset_reset {
        AutoOffsetReset::Earliest => FirstStart::Earliest,
        AutoOffsetReset::Latest => FirstStart::Latest,
    }
}

/// Where a partition begins if the group has committed no offset for it.
pub(super) struct FirstStarts {
    configured: FirstStart,
    /// This process found the topic missing, or noticed that it was recreated: everything in it is new to the group.
    is_topic_new: AtomicBool,
    /// How many partitions the topic had when the group first started; negative while that isn't known.
    partitions: AtomicI32,
}

impl FirstStarts {
    pub(super) fn new(configured: FirstStart) -> Self {
        Self {
            configured,
            is_topic_new: AtomicBool::new(false),
            partitions: AtomicI32::new(-1),
        }
    }

    pub(super) fn topic_is_new(&self) {
        self.is_topic_new.store(true, Ordering::Relaxed);
        // All of its partitions came after the group's first start.
        self.partitions.store(0, Ordering::Relaxed);
    }

    /// The text for the next commits: it lets the other members tell a partition of the first start from one that
    /// was added later.
    pub(super) fn commit_text(&self) -> Option<String> {
        let partitions = self.partitions.load(Ordering::Relaxed);
        let says_something = self.configured == FirstStart::Latest && partitions >= 0;
        says_something.then(|| text_of(partitions))
    }

    fn setting(&self) -> FirstStart {
        if self.is_topic_new.load(Ordering::Relaxed) {
            FirstStart::Earliest
        } else {
            self.configured
        }
    }

    /// What the group's commits say about its first start. `has_commits`: the group has committed an offset for each
    /// partition of this process.
    fn history<C: ConsumerContext>(
        &self,
        queries: &Queries<'_, C>,
        has_commits: bool,
    ) -> ClientResult<GroupHistory> {
        let Some(partitions) = queries.partitions()? else {
            self.topic_is_new();
            return Ok(GroupHistory::Started {
                partitions: Some(0),
            });
        };
        let commits = queries.commits(&partitions)?;
        if let Some(count) = partitions_at_first_start(&commits.texts) {
            self.partitions.store(count, Ordering::Relaxed);
        }
        let known = self.partitions.load(Ordering::Relaxed);
        if known >= 0 {
            return Ok(GroupHistory::Started {
                partitions: Some(known),
            });
        }
        if !commits.offsets.is_empty() || has_commits {
            return Ok(GroupHistory::Started { partitions: None });
        }
        let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        self.partitions.store(count, Ordering::Relaxed);
        Ok(GroupHistory::FirstStart)
    }

    /// Where each of `partitions` begins if the group has committed no offset for it.
    fn of_partitions(
        &self,
        partitions: &[TopicPartition],
        history: GroupHistory,
    ) -> Vec<(TopicPartition, FirstStart)> {
        let setting = self.setting();
        let starts = partitions.iter().map(|&partition| {
            let start = setting.of_partition(partition.number, history);
            (partition, start)
        });
        starts.collect()
    }
}

fn text_of(partitions: i32) -> String {
    format!("{PARTITIONS_AT_FIRST_START}{partitions}")
}

/// The text for commits that an operator makes for the group, in a topic of so many `partitions`. Where the group's
/// commits have the number of the first start, it stays. If the group has committed nothing, these commits are its first
/// start: without the number, the partitions that they leave out would begin at their beginning, whatever the setting.
pub(super) fn text_of_operator(
    configured: FirstStart,
    commits: &Commits,
    partitions: usize,
) -> Option<String> {
    if let Some(count) = partitions_at_first_start(&commits.texts) {
        return Some(text_of(count));
    }
    let is_first_start = configured == FirstStart::Latest && commits.offsets.is_empty();
    is_first_start.then(|| text_of(i32::try_from(partitions).unwrap_or(i32::MAX)))
}

fn partitions_at_first_start(texts: &[String]) -> Option<i32> {
    let numbers = texts.iter().filter_map(|text| {
        let number = text.strip_prefix(PARTITIONS_AT_FIRST_START)?;
        number.parse::<i32>().ok()
    });
    numbers.max()
}

/// Where partitions begin, as far as that is known.
#[derive(Default)]
pub(super) struct Starts {
    pub(super) known: Vec<(TopicPartition, StartingOffset)>,
    /// Partitions without a committed offset whose brokers don't say where their logs begin and end.
    pub(super) waiting: Vec<(TopicPartition, FirstStart)>,
}

/// The search for the starting offsets, inside the rebalance callback.
pub(super) struct Search<'a, C: ConsumerContext> {
    pub(super) consumer: &'a BaseConsumer<C>,
    pub(super) topic: &'a Topic,
    pub(super) first_starts: &'a FirstStarts,
    pub(super) stop: &'a StopSignal,
    /// How long the search may take. Its last questions may go on after that.
    pub(super) time_limit: Duration,
}

impl<C: ConsumerContext> Search<'_, C> {
    /// `None` if the process stops meanwhile. Fails when the group's coordinator doesn't say what is committed, or
    /// refuses.
    pub(super) fn run(&self, partitions: &[TopicPartition]) -> ClientResult<Option<Starts>> {
        let started = Instant::now();
        let queries = Queries {
            consumer: self.consumer,
            topic: self.topic,
            timeout: LONGEST_QUESTION.min(self.time_limit / 3),
        };
        let committed = self.ask_until(started + self.time_limit, || {
            let committed = queries.committed(partitions)?;
            let has_commits = partitions.iter().all(|p| committed.contains_key(p));
            let history = match self.first_starts.configured {
                // Every partition begins at its beginning, whatever the history is.
                FirstStart::Earliest => GroupHistory::FirstStart,
                FirstStart::Latest => self.first_starts.history(&queries, has_commits)?,
            };
            Ok((
                committed,
                self.first_starts.of_partitions(partitions, history),
            ))
        })?;
        let Some((committed, first_starts)) = committed else {
            return Ok(None);
        };
        let bounds = self.ask_until(started + BOUNDS_LIMIT.min(self.time_limit), || {
            queries.bounds(&queries.with_leader(partitions)?)
        });
        let bounds = match bounds {
            Ok(Some(bounds)) => bounds,
            Ok(None) => return Ok(None),
            Err(error) if is_authorization(&error) => return Err(error),
            Err(error) => {
                warn!("the bounds of the partitions' logs can't be read yet: {error}");
                BTreeMap::new()
            }
        };
        let mut starts = Starts::default();
        for (partition, first_start) in first_starts {
            let committed = committed.get(&partition).copied();
            let start = match bounds.get(&partition) {
                Some(&bounds) => Some(StartingOffset::decide(committed, bounds, first_start)),
                None => StartingOffset::without_bounds(committed),
            };
            match start {
                Some(start) => starts.known.push((partition, start)),
                None => starts.waiting.push((partition, first_start)),
            }
        }
        let without_bounds: Vec<_> = partitions
            .iter()
            .filter(|partition| !bounds.contains_key(partition))
            .collect();
        if !without_bounds.is_empty() {
            warn!(partitions:? = without_bounds;
                "these partitions have no leader that answers: each of them is read once it has one, and the others \
                 are read meanwhile");
        }
        Ok(Some(starts))
    }

    /// Asks until there is an answer or the deadline is reached. The limit is a time and not a number of attempts,
    /// because during a leader election brokers answer at once that they aren't ready. `None`: the process stops.
    fn ask_until<T>(
        &self,
        deadline: Instant,
        ask: impl Fn() -> ClientResult<T>,
    ) -> ClientResult<Option<T>> {
        let attempt = |attempt| {
            ask().map_err(|error| {
                if is_authorization(&error) || Instant::now() + ASK_AGAIN >= deadline {
                    return RetryError::Final(error);
                }
                warn!(attempt; "can't find out where the assigned partitions begin, trying again: {error}");
                RetryError::Again
            })
        };
        retry(self.stop, Delays::constant(ASK_AGAIN), || {}, attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::Offset;

    #[test]
    fn commits_carry_the_number_of_partitions_at_the_first_start() {
        let first_starts = FirstStarts::new(FirstStart::Latest);
        assert_eq!(first_starts.commit_text(), None);
        first_starts.partitions.store(3, Ordering::Relaxed);
        let text = first_starts.commit_text().expect("known");
        let other = "written by another tool".to_owned();
        assert_eq!(
            partitions_at_first_start(std::slice::from_ref(&other)),
            None
        );
        assert_eq!(partitions_at_first_start(&[other, text]), Some(3));
    }

    #[test]
    fn an_operators_commits_keep_what_is_known_of_the_first_start() {
        let commits = |texts: &[&str], committed: usize| Commits {
            offsets: (0..)
                .take(committed)
                .map(|number| (TopicPartition::consumed(number), Offset(5)))
                .collect(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
        };
        let (latest, earliest) = (FirstStart::Latest, FirstStart::Earliest);
        let known = commits(&["", &text_of(3)], 2);
        for (configured, commits, expected) in [
            (latest, &known, Some(text_of(3))),
            (earliest, &known, Some(text_of(3))),
            // Nothing is known of the first start, and it is over.
            (latest, &commits(&["", ""], 1), None),
            // These commits are the first start.
            (latest, &commits(&["", ""], 0), Some(text_of(4))),
            (earliest, &commits(&["", ""], 0), None),
        ] {
            assert_eq!(text_of_operator(configured, commits, 4), expected);
        }
    }
}
