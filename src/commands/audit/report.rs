//! The result of an audit: counts, the problems, and both as text and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::repair_report::RepairReport;
use crate::commands::output::{CountTable, printable};
use crate::core::document::DocumentId;
use crate::core::partition::{Offset, TopicPartition};

/// The most characters printed of an id.
const ID_CHARACTERS: usize = 100;

/// Where the audit found one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MessageStatus {
    /// Stored unaltered, and not in the dead letter topic.
    Stored,
    /// In the dead letter topic, and not stored.
    DeadLettered { reason: String, value_omitted: bool },
    /// Both stored unaltered and in the dead letter topic: it was replayed, or it was processed again
    /// after a crash.
    Both,
    /// Neither stored nor in the dead letter topic, but the group hasn't committed an offset beyond it.
    Pending,
    /// Neither stored nor in the dead letter topic.
    Missing,
    /// A different document is stored under its `_id`, and it isn't in the dead letter topic.
    Altered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProblemKind {
    Missing,
    Altered,
}

/// One message that is missing or altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub kind: ProblemKind,
    pub partition: TopicPartition,
    pub offset: Offset,
    /// The `_id` that its document has, or would have.
    pub id: Option<DocumentId>,
    pub cause: String,
}

/// The number of messages by their status.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct StatusCounts {
    pub stored: u64,
    /// By reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Those of the dead-lettered messages whose value was left out.
    pub without_value: u64,
    pub both: u64,
    pub pending: u64,
    pub missing: u64,
    pub altered: u64,
}

#[derive(Debug)]
pub(super) struct Report {
    topic: String,
    limit: usize,
    /// Dead letters of other consumer groups: they prove nothing about this group.
    letters_of_other_groups: u64,
    counts: StatusCounts,
    problems: Vec<Problem>,
    /// `None` if only an audit was asked for.
    repair: Option<RepairReport>,
}

impl StatusCounts {
    pub(super) fn checked(&self) -> u64 {
        let dead_lettered: u64 = self.dead_lettered.values().sum();
        self.stored + dead_lettered + self.both + self.pending + self.missing + self.altered
    }
}

impl Report {
    pub(super) fn new(topic: &str, limit: usize, letters_of_other_groups: u64) -> Self {
        Self {
            topic: topic.to_owned(),
            limit,
            letters_of_other_groups,
            counts: StatusCounts::default(),
            problems: Vec::new(),
            repair: None,
        }
    }

    pub(super) fn set_repair(&mut self, repair: Option<RepairReport>) {
        self.repair = repair;
    }

    pub(super) fn counts(&self) -> &StatusCounts {
        &self.counts
    }

    /// The messages that are still missing after the repair, if there was one.
    pub(super) fn still_missing(&self) -> u64 {
        let repaired = self.repair.as_ref().map_or(0, RepairReport::repaired);
        self.counts.missing.saturating_sub(repaired)
    }

    /// Whether nothing is missing or altered, and a repair came to its end.
    pub(super) fn is_good(&self) -> bool {
        let is_complete = |repair: &RepairReport| repair.unfinished.is_empty();
        self.still_missing() == 0
            && self.counts.altered == 0
            && self.repair.as_ref().is_none_or(is_complete)
    }

    /// Counts one message. `problem` is called to describe it if the report has to list it.
    pub(super) fn add(
        &mut self,
        status: MessageStatus,
        problem: impl FnOnce(ProblemKind) -> Problem,
    ) {
        let counts = &mut self.counts;
        let kind = match status {
            MessageStatus::Stored => return counts.stored += 1,
            MessageStatus::DeadLettered {
                reason,
                value_omitted,
            } => {
                counts.without_value += u64::from(value_omitted);
                return *counts.dead_lettered.entry(reason).or_default() += 1;
            }
            MessageStatus::Both => return counts.both += 1,
            MessageStatus::Pending => return counts.pending += 1,
            MessageStatus::Missing => {
                counts.missing += 1;
                ProblemKind::Missing
            }
            MessageStatus::Altered => {
                counts.altered += 1;
                ProblemKind::Altered
            }
        };
        if self.problems.len() < self.limit {
            self.problems.push(problem(kind));
        }
    }

    pub(super) fn to_text(&self) -> String {
        let counts = &self.counts;
        let mut lines = CountTable::default();
        lines.row(
            &format!("messages of `{}` checked", self.topic),
            counts.checked(),
        );
        lines.row("  stored", counts.stored);
        let dead_lettered: u64 = counts.dead_lettered.values().sum();
        lines.row("  dead-lettered", dead_lettered);
        for (reason, count) in &counts.dead_lettered {
            lines.row(&format!("    {}", printable(reason.as_bytes(), 30)), *count);
        }
        if counts.without_value > 0 {
            lines.row("    of these, without their value", counts.without_value);
        }
        lines.row("  both stored and dead-lettered", counts.both);
        lines.row("  pending: not processed yet", counts.pending);
        lines.row("  missing", counts.missing);
        lines.row("  altered", counts.altered);
        if self.letters_of_other_groups > 0 {
            let name = "dead letters of other groups: no proof";
            lines.row(name, self.letters_of_other_groups);
        }
        for problem in &self.problems {
            lines.line(&problem.to_text());
        }
        let problems = counts.missing + counts.altered;
        let listed = u64::try_from(self.problems.len()).unwrap_or(problems);
        let unlisted = problems.saturating_sub(listed);
        if unlisted > 0 {
            lines.line(&format!(
                "… and {unlisted} more; `--limit-report N` lists up to N of them"
            ));
        }
        if let Some(repair) = &self.repair {
            repair.add_to_text(&mut lines);
        }
        lines.line(if self.still_missing() + counts.altered > 0 {
            "MESSAGES ARE MISSING OR ALTERED"
        } else if !self.is_good() {
            "not all messages were checked"
        } else if counts.missing > 0 {
            "no message is missing any more, no message is altered"
        } else {
            "no message is missing, no message is altered"
        });
        lines.into_text()
    }

    pub(super) fn to_json(&self) -> String {
        let counts = &self.counts;
        let problems = self.problems.iter().map(Problem::to_json);
        let mut report = json!({
            "topic": self.topic,
            "ok": self.is_good(),
            "checked": counts.checked(),
            "stored": counts.stored,
            "dead_lettered": counts.dead_lettered.values().sum::<u64>(),
            "dead_lettered_by_reason": counts.dead_lettered,
            "dead_lettered_without_value": counts.without_value,
            "both": counts.both,
            "pending": counts.pending,
            "missing": counts.missing,
            "altered": counts.altered,
            "dead_letters_of_other_groups": self.letters_of_other_groups,
            "problems": problems.collect::<Vec<_>>(),
        });
        if let Some(repair) = &self.repair {
            report["repair"] = repair.to_json();
        }
        format!("{report}\n")
    }
}

impl ProblemKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
        }
    }
}

impl Problem {
    fn to_text(&self) -> String {
        let id = match &self.id {
            None => "none".to_owned(),
            Some(DocumentId::Text(id)) => format!("`{}`", printable(id.as_bytes(), ID_CHARACTERS)),
            Some(DocumentId::Integer(id)) => id.to_string(),
        };
        format!(
            "{}: partition {}, offset {}, _id {id}: {}",
            self.kind.as_str(),
            self.partition,
            self.offset,
            self.cause
        )
    }

    fn to_json(&self) -> Value {
        json!({
            "kind": self.kind.as_str(),
            "partition": self.partition.number,
            "offset": self.offset.0,
            "message_id": match &self.id {
                None => Value::Null,
                Some(DocumentId::Text(id)) => Value::from(id.as_str()),
                Some(DocumentId::Integer(id)) => Value::from(*id),
            },
            "cause": self.cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::repair_report::PartitionRepair;
    use super::*;
    use crate::cli::PartitionOffset;

    fn problem(kind: ProblemKind) -> Problem {
        Problem {
            kind,
            partition: TopicPartition::consumed(1),
            offset: Offset(7),
            id: Some(DocumentId::Text("a\u{1b}b".to_owned())),
            cause: "is not stored, and is not dead-lettered".to_owned(),
        }
    }

    #[test]
    fn each_message_is_counted_once_and_the_first_problems_are_listed() {
        let mut report = Report::new("data-topic", 1, 4);
        for status in [
            MessageStatus::Stored,
            MessageStatus::Both,
            MessageStatus::Pending,
            MessageStatus::DeadLettered {
                reason: "invalid_json".to_owned(),
                value_omitted: true,
            },
        ] {
            report.add(status, problem);
        }
        assert!(report.is_good());
        report.add(MessageStatus::Missing, problem);
        report.add(MessageStatus::Altered, problem);
        assert!(!report.is_good());
        assert_eq!(report.counts().checked(), 6);
        let text = report.to_text();
        assert!(
            text.contains("missing: partition 1, offset 7, _id `a\\u{1b}b`"),
            "{text}"
        );
        assert!(text.contains("and 1 more"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["dead_lettered_by_reason"]["invalid_json"], 1);
        assert_eq!(json["dead_lettered_without_value"], 1);
        assert_eq!(json["dead_letters_of_other_groups"], 4);
        assert_eq!(json["problems"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_report_is_good_once_all_that_was_missing_is_repaired() {
        let repaired = |stored: u64, unfinished| {
            let mut report = Report::new("data-topic", 1, 0);
            report.add(MessageStatus::Missing, problem);
            report.add(MessageStatus::Missing, problem);
            let mut found = PartitionRepair::default();
            found.settled.stored = stored;
            report.set_repair(Some(RepairReport {
                is_dry_run: false,
                partitions: BTreeMap::from([(TopicPartition::consumed(1), found)]),
                unfinished,
            }));
            report
        };
        let report = repaired(2, Vec::new());
        assert!(report.is_good());
        assert!(
            report
                .to_text()
                .ends_with("missing any more, no message is altered\n")
        );
        assert_eq!(repaired(1, Vec::new()).still_missing(), 1);
        assert!(!repaired(1, Vec::new()).is_good());

        let place = PartitionOffset {
            partition: TopicPartition::consumed(1),
            offset: Offset(7),
        };
        let report = repaired(2, vec![place]);
        assert!(!report.is_good());
        assert!(
            report
                .to_text()
                .ends_with("not all messages were checked\n")
        );
        let mut report = repaired(2, Vec::new());
        report.add(MessageStatus::Altered, problem);
        assert!(!report.is_good());
    }
}
