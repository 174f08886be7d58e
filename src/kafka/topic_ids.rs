//! Which topic the group's commits belong to: one that was deleted and recreated has another id. librdkafka tells the
//! id in its log alone, and the commits carry it as a text.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::core::partition::TopicPartition;

/// Behind a lock, because the poller changes it, and the commit thread reads it for each commit.
#[derive(Debug, Default)]
pub(super) struct TopicIds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The id that commits carry: that of the topic whose offsets are committed.
    of_commits: Option<String>,
    /// By partition, the id in the commit that it goes on from. Empty when it was compared.
    went_on_from: BTreeMap<TopicPartition, String>,
}

impl TopicIds {
    /// These partitions go on from commits that carry these ids.
    pub(super) fn go_on_from(&self, ids: impl IntoIterator<Item = (TopicPartition, String)>) {
        self.state().went_on_from.extend(ids);
    }

    /// The partitions that went on from a commit of another topic than this one, and those that went on from one of this
    /// topic. Each is told once.
    pub(super) fn take_strangers_and_natives(
        &self,
        topic_id: &str,
    ) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let ids = std::mem::take(&mut self.state().went_on_from);
        let (natives, strangers): (BTreeMap<_, _>, _) =
            ids.into_iter().partition(|(_, id)| id == topic_id);
        (
            strangers.into_keys().collect(),
            natives.into_keys().collect(),
        )
    }

    /// From now on only offsets of this topic are committed.
    pub(super) fn adopt(&self, topic_id: String) {
        self.state().of_commits = Some(topic_id);
    }

    pub(super) fn of_commits(&self) -> Option<String> {
        self.state().of_commits.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_of_another_topic_are_told_once() {
        let (ours, old) = (TopicPartition::consumed(0), TopicPartition::consumed(1));
        let ids = TopicIds::default();
        ids.go_on_from([(ours, "new".to_owned()), (old, "old".to_owned())]);
        let taken = ids.take_strangers_and_natives("new");
        assert_eq!(taken, (vec![old], vec![ours]));
        let taken = ids.take_strangers_and_natives("new");
        assert_eq!(taken, (vec![], vec![]));
        assert_eq!(ids.of_commits(), None);
        ids.adopt("new".to_owned());
        assert_eq!(ids.of_commits().as_deref(), Some("new"));
    }
}
