//! The text that is stored with each commit of the group, and tells later members what they can't know otherwise.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::flood::RejectionCount;
use super::partition::Offset;

/// What a commit's text says. A text that another tool has written says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitText {
    /// The id of the topic whose offset it is: another topic of the same name has another id.
    pub topic_id: Option<String>,
    /// Under `auto_offset_reset: latest`, how many partitions the topic had at the group's first start.
    pub partitions_at_first_start: Option<i32>,
    /// Those of them that had no leader then. They begin at their beginning.
    pub without_leader: BTreeSet<i32>,
    /// What the guard against floods of rejections has counted of this partition.
    pub rejections: Option<RejectionCount>,
}

const TOPIC_ID: &str = "topic id: ";
const PARTITIONS: &str = "partitions at the group's first start: ";
const WITHOUT_LEADER: &str = "without a leader then: ";
const REJECTIONS: &str = "rejected: ";
const REFUSED: &str = ", refused ";
const BETWEEN: &str = "; ";

/// A text may be anybody's: more partitions than this aren't believed, and no more are read.
const MOST_PARTITIONS: u32 = 1_000_000;

/// Brokers take texts of up to 4096 bytes, unless they are set otherwise (`offset.metadata.max.bytes`).
const MAX_BYTES: usize = 2000;

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
                let partitions = numbers.split(' ').flat_map(range_of);
                said.without_leader = partitions.take(MOST_PARTITIONS as usize).collect();
            } else if let Some(counts) = part.strip_prefix(REJECTIONS) {
                said.rejections = rejections_of(counts);
            }
        }
        said
    }

    /// `None` if there is nothing to say. Where the text would be too long, nothing is said of the first start: then all
    /// partitions without a commit begin at their beginning, and nothing is skipped.
    pub fn write(&self) -> Option<String> {
        let ranges = ranges_of(&self.without_leader);
        let id = self.topic_id.as_ref().map(|id| format!("{TOPIC_ID}{id}"));
        let first_start = [
            self.partitions_at_first_start
                .map(|count| format!("{PARTITIONS}{count}")),
            (!ranges.is_empty()).then(|| format!("{WITHOUT_LEADER}{ranges}")),
        ];
        let rejections = self.rejections.map(|count| {
            let RejectionCount {
                rejected,
                messages,
                in_a_row,
                up_to,
                refused,
            } = count;
            let refused = refused.map_or_else(String::new, |offset| format!("{REFUSED}{offset}"));
            format!(
                "{REJECTIONS}{rejected} of {messages}, {in_a_row} in a row, up to {up_to}{refused}"
            )
        });
        let has_room = ranges.len() <= MAX_BYTES;
        let first_start = first_start.into_iter().flatten().filter(|_| has_room);
        let parts: Vec<String> = id
            .into_iter()
            .chain(first_start)
            .chain(rejections)
            .collect();
        (!parts.is_empty()).then(|| parts.join(BETWEEN))
    }
}

/// `3 of 100, 2 in a row, up to 1234`, and after a flood `, refused 1200`.
fn rejections_of(text: &str) -> Option<RejectionCount> {
    let (counts, offsets) = text.split_once(" in a row, up to ")?;
    let (up_to, refused) = match offsets.split_once(REFUSED) {
        Some((up_to, refused)) => (up_to, Some(Offset(refused.parse().ok()?))),
        None => (offsets, None),
    };
    let (window, in_a_row) = counts.split_once(", ")?;
    let (rejected, messages) = window.split_once(" of ")?;
    Some(RejectionCount {
        rejected: rejected.parse().ok()?,
        messages: messages.parse().ok()?,
        in_a_row: in_a_row.parse().ok()?,
        up_to: Offset(up_to.parse().ok()?),
        refused,
    })
}

/// `0-3 7` for 0, 1, 2, 3 and 7.
fn ranges_of(numbers: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<RangeInclusive<i32>> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(number) => {
                *last = *last.start()..=number;
            }
            _ => ranges.push(number..=number),
        }
    }
    let texts = ranges
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        });
    texts.collect::<Vec<String>>().join(" ")
}

/// Empty if the text is no range of partitions.
fn range_of(text: &str) -> RangeInclusive<i32> {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    match (start.parse(), end.parse()) {
        (Ok(start), Ok(end)) if start >= 0 && i64::from(end) < i64::from(MOST_PARTITIONS) => {
            start..=end
        }
        #[expect(clippy::reversed_empty_ranges, reason = "it is to be empty")]
        _ => 1..=0,
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
                for without_leader in [BTreeSet::new(), BTreeSet::from([0, 1, 2, 12])] {
                    let text = CommitText {
                        topic_id: topic_id.clone(),
                        partitions_at_first_start,
                        rejections: without_leader.first().map(|_| RejectionCount {
                            rejected: 3,
                            messages: 100,
                            in_a_row: 2,
                            up_to: Offset(1234),
                            refused: partitions_at_first_start.map(|_| Offset(1200)),
                        }),
                        without_leader,
                    };
                    let written = text.write().unwrap_or_default();
                    assert_eq!(CommitText::read(&written), text, "{written}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_brokers_refuse_is_never_written() {
        let mut text = CommitText {
            topic_id: Some("id".to_owned()),
            partitions_at_first_start: Some(10_000),
            without_leader: (0..10_000).collect(),
            rejections: None,
        };
        let of_one_range = "topic id: id; partitions at the group's first start: 10000; without a leader then: 0-9999";
        assert_eq!(text.write().as_deref(), Some(of_one_range));
        text.without_leader = (0..10_000).step_by(2).collect();
        assert_eq!(text.write().as_deref(), Some("topic id: id"));
    }

    #[test]
    fn a_text_of_another_tool_says_nothing() {
        for text in [
            "",
            "; ",
            "by hand",
            "partitions: 3",
            "topic id",
            "rejected: some of 3, 1 in a row, up to 3",
        ] {
            assert_eq!(CommitText::read(text), CommitText::default(), "{text}");
        }
        assert_eq!(CommitText::default().write(), None);
    }
}
