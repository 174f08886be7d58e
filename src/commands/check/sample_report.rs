//! The result of a sample: what would happen to its messages, their sizes and their times. Never a payload.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::PartitionOffset;
use crate::commands::output::CountTable;
use crate::core::rejection::Reason;

/// What the worker would do with one message. What MongoDB itself refuses, as by a validator, shows only in an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stored,
    /// MongoDB, or an earlier message of the sample, has the same document.
    AlreadyStored,
    /// It would go to the dead letter topic.
    Rejected(Reason),
}

#[derive(Debug)]
pub(super) struct SampleReport {
    topic: String,
    stored: u64,
    already_stored: u64,
    rejected: BTreeMap<Reason, Rejected>,
    /// In bytes.
    messages: Sizes,
    documents: Sizes,
    times: Option<(Timestamp, Timestamp)>,
}

#[derive(Debug)]
struct Rejected {
    count: u64,
    first: PartitionOffset,
}

#[derive(Debug, Default)]
struct Sizes(Vec<usize>);

#[derive(Debug, PartialEq, Eq)]
struct SizeSummary {
    min: usize,
    median: usize,
    p99: usize,
    max: usize,
}

impl SampleReport {
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            stored: 0,
            already_stored: 0,
            rejected: BTreeMap::new(),
            messages: Sizes::default(),
            documents: Sizes::default(),
            times: None,
        }
    }

    /// The number of messages read.
    pub(super) fn read(&self) -> u64 {
        u64::try_from(self.messages.0.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn add_message(&mut self, size: usize, time: Option<Timestamp>) {
        self.messages.0.push(size);
        if let Some(time) = time {
            let (oldest, newest) = self.times.unwrap_or((time, time));
            self.times = Some((oldest.min(time), newest.max(time)));
        }
    }

    pub(super) fn add_document(&mut self, size: usize) {
        self.documents.0.push(size);
    }

    pub(super) fn add_fate(&mut self, fate: Fate, place: PartitionOffset) {
        match fate {
            Fate::Stored => self.stored += 1,
            Fate::AlreadyStored => self.already_stored += 1,
            Fate::Rejected(reason) => {
                let rejected = self.rejected.entry(reason).or_insert(Rejected {
                    count: 0,
                    first: place,
                });
                rejected.count += 1;
                // Rejections come before the documents that are looked up together with them.
                let is_earlier = |one: PartitionOffset, other: PartitionOffset| {
                    (one.partition, one.offset) < (other.partition, other.offset)
                };
                if is_earlier(place, rejected.first) {
                    rejected.first = place;
                }
            }
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = CountTable::default();
        lines.row(&format!("messages of `{}` read", self.topic), self.read());
        lines.row("  would be stored", self.stored);
        lines.row("  already stored, identical", self.already_stored);
        let rejected: u64 = self.rejected.values().map(|rejected| rejected.count).sum();
        lines.row("  would be dead-lettered", rejected);
        for (reason, rejected) in &self.rejected {
            lines.row(&format!("    {reason}"), rejected.count);
        }
        for (reason, rejected) in &self.rejected {
            let PartitionOffset { partition, offset } = rejected.first;
            lines.line(&format!(
                "first {reason}: topic `{}`, partition {partition}, offset {offset}",
                self.topic
            ));
        }
        for (name, sizes) in [("messages", &self.messages), ("documents", &self.documents)] {
            if let Some(sizes) = sizes.summary() {
                lines.line(&format!(
                    "bytes of {name}: min {}, median {}, p99 {}, max {}",
                    sizes.min, sizes.median, sizes.p99, sizes.max
                ));
            }
        }
        if let Some((oldest, newest)) = self.times {
            lines.line(&format!("timestamps from {oldest:.3} to {newest:.3}"));
        }
        if self.read() == 0 {
            lines.line(
                "there is no message that the group has not committed; `--from-beginning` reads the others",
            );
        }
        lines.into_text()
    }

    pub(super) fn to_json(&self) -> Value {
        let rejected = self.rejected.iter().map(|(reason, rejected)| {
            json!({
                "reason": reason.as_str(),
                "count": rejected.count,
                "first": {
                    "topic": self.topic,
                    "partition": rejected.first.partition.number,
                    "offset": rejected.first.offset.0,
                },
            })
        });
        json!({
            "topic": self.topic,
            "read": self.read(),
            "would_be_stored": self.stored,
            "already_stored": self.already_stored,
            "would_be_dead_lettered": rejected.collect::<Vec<_>>(),
            "message_bytes": self.messages.to_json(),
            "document_bytes": self.documents.to_json(),
            "oldest_timestamp": self.times.map(|(oldest, _)| format!("{oldest:.3}")),
            "newest_timestamp": self.times.map(|(_, newest)| format!("{newest:.3}")),
        })
    }
}

impl Sizes {
    /// `None` if there are no sizes.
    fn summary(&self) -> Option<SizeSummary> {
        let mut sizes = self.0.clone();
        sizes.sort_unstable();
        // The smallest size that at least so many of a hundred don't exceed.
        let percentile = |percent: usize| {
            let rank = (sizes.len() * percent).div_ceil(100);
            sizes.get(rank.max(1) - 1).copied()
        };
        Some(SizeSummary {
            min: *sizes.first()?,
            median: percentile(50)?,
            p99: percentile(99)?,
            max: *sizes.last()?,
        })
    }

    fn to_json(&self) -> Value {
        self.summary().map_or(Value::Null, |sizes| {
            json!({"min": sizes.min, "median": sizes.median, "p99": sizes.p99, "max": sizes.max})
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::{Offset, TopicPartition};

    fn place(partition: i32, offset: i64) -> PartitionOffset {
        PartitionOffset {
            partition: TopicPartition::consumed(partition),
            offset: Offset(offset),
        }
    }

    #[test]
    fn sizes_are_summed_up_by_rank() {
        assert_eq!(Sizes::default().summary(), None);
        let summary = |sizes: Vec<usize>| {
            let summary = Sizes(sizes).summary().unwrap();
            [summary.min, summary.median, summary.p99, summary.max]
        };
        assert_eq!(summary(vec![7]), [7; 4]);
        assert_eq!(summary((1..=100).rev().collect()), [1, 50, 99, 100]);
        assert_eq!(summary(vec![3, 1, 2]), [1, 2, 3, 3]);
    }

    #[test]
    fn each_reason_has_its_count_and_its_first_place() {
        let mut report = SampleReport::new("t");
        report.add_message(10, Timestamp::from_second(5).ok());
        report.add_message(20, Timestamp::from_second(3).ok());
        report.add_message(0, None);
        report.add_fate(Fate::Rejected(Reason::InvalidJson), place(1, 8));
        report.add_fate(Fate::Rejected(Reason::InvalidJson), place(1, 7));
        report.add_fate(Fate::Stored, place(0, 1));
        report.add_document(30);
        let text = report.to_text();
        for line in [
            "first invalid_json: topic `t`, partition 1, offset 7",
            "bytes of messages: min 0, median 10, p99 20, max 20",
            "timestamps from 1970-01-01T00:00:03.000Z to 1970-01-01T00:00:05.000Z",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let json = report.to_json();
        assert_eq!(json["would_be_dead_lettered"][0]["count"], 2);
        assert_eq!(json["document_bytes"]["max"], 30);
    }
}
