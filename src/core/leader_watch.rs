//! Which partitions have been without a leader for so long that it is worth a word. An election ends within moments, as
//! at a restart of a broker. No clock; time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::partition::TopicPartition;

#[derive(Debug)]
pub struct LeaderWatch {
    /// A shorter time without a leader isn't said.
    bound: Duration,
    without_leader: BTreeMap<TopicPartition, Loss>,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    since: Instant,
    is_said: bool,
}

/// What is to be said now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeaderNews {
    /// Without a leader for this long.
    pub lost: Vec<(TopicPartition, Duration)>,
    /// They had no leader, which was said.
    pub back: Vec<TopicPartition>,
}

impl LeaderWatch {
    pub fn new(bound: Duration) -> Self {
        Self {
            bound,
            without_leader: BTreeMap::new(),
        }
    }

    /// Notes which partitions have no leader now. Each loss is said once.
    pub fn look(&mut self, now: Instant, without_leader: &[TopicPartition]) -> LeaderNews {
        let mut news = LeaderNews::default();
        self.without_leader.retain(|partition, loss| {
            let is_lost = without_leader.contains(partition);
            if !is_lost && loss.is_said {
                news.back.push(*partition);
            }
            is_lost
        });
        for &partition in without_leader {
            let new = Loss {
                since: now,
                is_said: false,
            };
            let loss = self.without_leader.entry(partition).or_insert(new);
            let lasts = now.saturating_duration_since(loss.since);
            if !loss.is_said && lasts >= self.bound {
                loss.is_said = true;
                news.lost.push((partition, lasts));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_lasts_is_said_once_and_so_is_its_end() {
        const P: TopicPartition = TopicPartition::consumed(0);
        const Q: TopicPartition = TopicPartition::consumed(1);
        let bound = Duration::from_secs(5);
        let start = Instant::now();
        let mut watch = LeaderWatch::new(bound);
        let mut look = |seconds, lost: &[TopicPartition]| {
            let news = watch.look(start + Duration::from_secs(seconds), lost);
            let lost: Vec<_> = news.lost.into_iter().map(|(p, _)| p).collect();
            (lost, news.back)
        };
        let nothing = (vec![], vec![]);
        assert_eq!(look(0, &[P]), nothing);
        assert_eq!(look(4, &[P, Q]), nothing);
        assert_eq!(look(5, &[P]), (vec![P], vec![]), "an election of Q's");
        assert_eq!(look(60, &[P, Q]), nothing);
        assert_eq!(look(65, &[Q]), (vec![Q], vec![P]));
        assert_eq!(look(66, &[]), (vec![], vec![Q]));
        assert_eq!(look(67, &[P]), nothing);
        assert_eq!(look(72, &[P]), (vec![P], vec![]), "another loss");
    }
}
