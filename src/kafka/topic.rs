//! A topic as the client knows it, by its name, and as the bookkeeping knows it, by its id.

use crate::core::partition::{TopicId, TopicPartition};

#[derive(Debug, Clone)]
pub struct Topic {
    pub id: TopicId,
    pub name: String,
}

impl Topic {
    pub fn new(id: TopicId, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
        }
    }

    pub(super) fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(self.id, number)
    }
}
