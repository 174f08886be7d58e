//! The part of an audit's report about the repair, as text and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::PartitionOffset;
use crate::commands::output::CountTable;
use crate::core::partition::TopicPartition;
use crate::core::rejection::Reason;
use crate::replay::SettledCounts;

/// What a repair did, or what it would do.
#[derive(Debug, Default)]
pub(super) struct RepairReport {
    pub is_dry_run: bool,
    /// The partitions in which messages are missing.
    pub partitions: BTreeMap<TopicPartition, PartitionRepair>,
    /// Where another repair has to go on. Empty if this one is complete, or a dry run.
    pub unfinished: Vec<PartitionOffset>,
}

/// The missing messages of one partition.
#[derive(Debug, Default)]
pub(super) struct PartitionRepair {
    /// Those that can become documents.
    pub to_store: u64,
    /// Those that can't.
    pub to_dead_letter: u64,
    /// How they ended. MongoDB may refuse a document, so more can be dead-lettered than expected.
    pub settled: SettledCounts,
}

impl RepairReport {
    /// The number of messages that were missing and are settled now.
    pub(super) fn repaired(&self) -> u64 {
        let settled = self.partitions.values().map(|found| found.settled.sum());
        settled.sum()
    }

    /// The value of `--from-offsets` with which another repair goes on.
    pub(super) fn continuation(&self) -> Option<String> {
        let places = self.unfinished.iter().map(ToString::to_string);
        let places: Vec<String> = places.collect();
        (!places.is_empty()).then(|| places.join(","))
    }

    fn dead_lettered(&self) -> BTreeMap<Reason, u64> {
        let mut sums = BTreeMap::new();
        for (reason, count) in self
            .partitions
            .values()
            .flat_map(|found| &found.settled.dead_lettered)
        {
            *sums.entry(*reason).or_default() += count;
        }
        sums
    }

    fn sum(&self, of: impl Fn(&PartitionRepair) -> u64) -> u64 {
        self.partitions.values().map(of).sum()
    }

    pub(super) fn add_to_text(&self, lines: &mut CountTable) {
        if self.is_dry_run {
            lines.line("dry run: nothing was stored");
            lines.row("  would be stored", self.sum(|found| found.to_store));
            let to_dead_letter = self.sum(|found| found.to_dead_letter);
            lines.row("  would be dead-lettered", to_dead_letter);
        } else {
            lines.row("repaired", self.repaired());
            lines.row("  stored", self.sum(|found| found.settled.stored));
            let already_stored = self.sum(|found| found.settled.already_stored);
            lines.row("  already stored, identical", already_stored);
            let dead_lettered = self.dead_lettered();
            lines.row("  dead-lettered", dead_lettered.values().sum());
            for (reason, count) in dead_lettered {
                lines.row(&format!("    {reason}"), count);
            }
        }
        for (partition, found) in &self.partitions {
            let words = if self.is_dry_run {
                format!(
                    "{} would be stored, {} would be dead-lettered",
                    found.to_store, found.to_dead_letter
                )
            } else {
                let dead_lettered: u64 = found.settled.dead_lettered.values().sum();
                let stored = found.settled.stored + found.settled.already_stored;
                format!("{stored} stored, {dead_lettered} dead-lettered")
            };
            let missing = found.to_store + found.to_dead_letter;
            lines.line(&format!(
                "partition {partition}: {missing} missing, {words}"
            ));
        }
        if let Some(from) = self.continuation() {
            lines.line(&format!(
                "the repair is not complete: go on with `audit --repair --from-offsets {from}`"
            ));
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let partitions = self.partitions.iter().map(|(partition, found)| {
            json!({
                "partition": partition.number,
                "to_store": found.to_store,
                "to_dead_letter": found.to_dead_letter,
                "stored": found.settled.stored,
                "already_stored": found.settled.already_stored,
                "dead_lettered": found.settled.dead_lettered.values().sum::<u64>(),
            })
        });
        let dead_lettered = self.dead_lettered();
        let by_reason: BTreeMap<&str, u64> = dead_lettered
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
            .collect();
        json!({
            "dry_run": self.is_dry_run,
            "to_store": self.sum(|found| found.to_store),
            "to_dead_letter": self.sum(|found| found.to_dead_letter),
            "stored": self.sum(|found| found.settled.stored),
            "already_stored": self.sum(|found| found.settled.already_stored),
            "dead_lettered": dead_lettered.values().sum::<u64>(),
            "dead_lettered_by_reason": by_reason,
            "partitions": partitions.collect::<Vec<_>>(),
            "from_offsets": self.continuation(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::partition::Offset;

    fn report(is_dry_run: bool, unfinished: Vec<PartitionOffset>) -> RepairReport {
        let settled = SettledCounts {
            stored: 4,
            already_stored: 1,
            dead_lettered: BTreeMap::from([(Reason::InvalidJson, 2)]),
            ..SettledCounts::default()
        };
        let found = PartitionRepair {
            to_store: 5,
            to_dead_letter: 2,
            settled: if is_dry_run {
                SettledCounts::default()
            } else {
                settled
            },
        };
        RepairReport {
            is_dry_run,
            partitions: BTreeMap::from([(TopicPartition::consumed(3), found)]),
            unfinished,
        }
    }

    fn text(report: &RepairReport) -> String {
        let mut lines = CountTable::default();
        report.add_to_text(&mut lines);
        lines.into_text()
    }

    #[test]
    fn a_dry_run_tells_what_would_be_done_by_partition() {
        let report = report(true, Vec::new());
        let text = text(&report);
        let line = "partition 3: 7 missing, 5 would be stored, 2 would be dead-lettered\n";
        assert!(text.ends_with(line), "{text}");
        assert_eq!(report.repaired(), 0);
        assert_eq!(report.to_json()["to_store"], 5);
    }

    #[test]
    fn a_repair_that_ended_early_tells_where_to_go_on() {
        let place = |number, offset| PartitionOffset {
            partition: TopicPartition::consumed(number),
            offset: Offset(offset),
        };
        let report = report(false, vec![place(3, 17), place(5, 0)]);
        assert_eq!(report.repaired(), 7);
        let text = text(&report);
        assert!(text.contains("--from-offsets 3:17,5:0`"), "{text}");
        assert!(
            text.contains("7 missing, 5 stored, 2 dead-lettered"),
            "{text}"
        );
        let json = report.to_json();
        assert_eq!(json["from_offsets"], "3:17,5:0");
        assert_eq!(json["dead_lettered_by_reason"]["invalid_json"], 2);
        assert_eq!(json["partitions"][0]["already_stored"], 1);
    }
}
