//! The text that is stored with each commit of the group, and tells later members what they can't know otherwise.

use std::collections::BTreeSet;

/// What a commit's text says. A text that another tool has written says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitText {
    /// The id of the topic whose offset it is: another topic of the same name has another id.
    pub topic_id: Option<String>,
    /// Under `auto_offset_reset: latest`, how many partitions the topic had at the group's first start.
    pub partitions_at_first_start: Option<i32>,
    /// Those of them that had no leader then. They begin at their beginning.
    pub without_leader: BTreeSet<i32>,
}

const TOPIC_ID: &str = "topic id: ";
const PARTITIONS: &str = "partitions at the group's first start: ";
const WITHOUT_LEADER: &str = "without a leader then: ";
const BETWEEN: &str = "; ";

impl CommitText {
    /// What a text says. Parts that aren't known are passed over.
    pub fn read(text: &str) -> Self {
        let mut said = Self::default();
        for part in text.split(BETWEEN) {
            if let Some(id) = part.strip_prefix(TOPIC_ID) {
                said.topic_id = Some(id.to_owned());
            } else if let Some(count) = part.strip_prefix(PARTITIONS) {
                said.partitions_at_first_start = count.parse().ok();
            } else if let Some(numbers) = part.strip_prefix(WITHOUT_LEADER) {
                let numbers = numbers.split(' ').filter_map(|number| number.parse().ok());
                said.without_leader = numbers.collect();
            }
        }
        said
    }

    /// `None` if there is nothing to say.
    pub fn write(&self) -> Option<String> {
        let numbers: Vec<String> = self.without_leader.iter().map(i32::to_string).collect();
        let parts = [
            self.topic_id.as_ref().map(|id| format!("{TOPIC_ID}{id}")),
            self.partitions_at_first_start
                .map(|count| format!("{PARTITIONS}{count}")),
            (!numbers.is_empty()).then(|| format!("{WITHOUT_LEADER}{}", numbers.join(" "))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(BETWEEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let id = Some("8ziVJlOoT8aUjBBKNu8bvA".to_owned());
        for topic_id in [None, id] {
            for partitions_at_first_start in [None, Some(0), Some(3)] {
                for without_leader in [BTreeSet::new(), BTreeSet::from([0, 12])] {
                    let text = CommitText {
                        topic_id: topic_id.clone(),
                        partitions_at_first_start,
                        without_leader,
                    };
                    let written = text.write().unwrap_or_default();
                    assert_eq!(CommitText::read(&written), text, "{written}");
                }
            }
        }
    }

    #[test]
    fn a_text_of_another_tool_says_nothing() {
        for text in ["", "; ", "by hand", "partitions: 3", "topic id"] {
            assert_eq!(CommitText::read(text), CommitText::default(), "{text}");
        }
        assert_eq!(CommitText::default().write(), None);
    }
}
