//! Finds out where newly assigned partitions begin: from what the group has committed, and from the bounds of
//! their logs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use log::warn;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult as ClientResult;

use super::errors::is_authorization;
use super::first_starts::FirstStarts;
use super::queries::Queries;
use super::topic::Topic;
use crate::core::flood::RejectionCount;
use crate::core::partition::TopicPartition;
use crate::core::starting_offset::StartingOffset;
use crate::runtime::{Delays, RetryError, StopSignal, retry};

/// The longest wait for one answer about offsets.
const LONGEST_QUESTION: Duration = Duration::from_secs(10);

/// The wait before the offsets are asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long the bounds of the logs are asked for. The partitions that have no answer then are asked for later, so
/// that they don't hold up the others.
const BOUNDS_LIMIT: Duration = Duration::from_secs(5);

/// Where partitions begin, as far as that is known.
#[derive(Default)]
pub(super) struct Starts {
    pub(super) known: Vec<(TopicPartition, StartingOffset)>,
    /// Partitions without a committed offset whose brokers don't say where their logs begin and end. They begin at
    /// their beginning.
    pub(super) waiting: Vec<TopicPartition>,
    /// The topic's id in the commit that a partition goes on from.
    pub(super) topic_ids: Vec<(TopicPartition, String)>,
    /// What was counted of a partition's rejections, by the commit that it goes on from.
    pub(super) rejections: Vec<(TopicPartition, RejectionCount)>,
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
        let answers = self.ask_until(started + self.time_limit, || {
            let commits = queries.commits(partitions)?;
            let has_commits = partitions.iter().all(|p| commits.offsets.contains_key(p));
            let first_starts =
                self.first_starts
                    .of_partitions(&queries, partitions, has_commits)?;
            Ok((commits, first_starts))
        })?;
        let Some((commits, first_starts)) = answers else {
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
        let mut is_against_the_setting = false;
        for (partition, first_start) in first_starts {
            let committed = commits.offsets.get(&partition).copied();
            let start = match bounds.get(&partition) {
                Some(&bounds) => Some(StartingOffset::decide(committed, bounds, first_start)),
                None => StartingOffset::without_bounds(committed),
            };
            if let Some(start) = start {
                starts.known.push((partition, start));
            } else {
                starts.waiting.push(partition);
                is_against_the_setting |= self.first_starts.begins_at_its_beginning(partition);
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
        if is_against_the_setting {
            warn!(partitions:? = starts.waiting;
                "`auto_offset_reset` is \"latest\", but nobody says where these partitions end now: they are read from \
                 their beginning, so that nothing is skipped");
        }
        let counts = commits.texts.iter();
        starts.rejections = counts
            .filter_map(|(&p, text)| Some((p, text.rejections?)))
            .collect();
        let ids = commits.texts.into_iter();
        starts.topic_ids = ids
            .filter_map(|(p, text)| Some((p, text.topic_id?)))
            .collect();
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
