//! `offsets show`: how far the group is in each partition, and which member has it.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::ShowOffsets;
use crate::commands::output::{self, printable};
use crate::commands::servers::reader_of;
use crate::commands::topic_log::TopicLog;
use crate::config::Config;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::core::starting_offset::LogBounds;
use crate::failure::Failure;
use crate::kafka::{Group, Members};

/// The most characters printed of a member's name: its process chose it.
const NAME_CHARACTERS: usize = 100;

pub(super) fn show(config: &Config, arguments: ShowOffsets) -> Result<(), Failure> {
    let reader = reader_of(config, TopicId::CONSUMED, &config.kafka.topic)?;
    let log = TopicLog::of(config, &reader)?;
    let committed = reader.committed(&log.partitions)?;
    let group = reader.group()?;
    let rows = log.partitions.iter().map(|partition| Row {
        partition: *partition,
        bounds: log.bounds.get(partition).copied(),
        committed: committed.get(partition).copied(),
        member: group.as_ref().and_then(|group| owner(group, *partition)),
    });
    let view = View {
        topic: &config.kafka.topic,
        name: &config.kafka.group_id,
        group: group.as_ref(),
        rows: rows.collect(),
    };
    let text = if arguments.json {
        view.to_json()
    } else {
        view.to_text()
    };
    output::print(text.as_bytes())
}

/// Names a member by its client id and its host.
fn owner(group: &Group, partition: TopicPartition) -> Option<String> {
    let Members::Known(members) = &group.members else {
        return None;
    };
    let mut members = members.iter();
    let member = members.find(|member| member.partitions.contains(&partition))?;
    Some(format!("{} on {}", member.client_id, member.host))
}

struct View<'a> {
    topic: &'a str,
    name: &'a str,
    group: Option<&'a Group>,
    rows: Vec<Row>,
}

struct Row {
    partition: TopicPartition,
    /// `None` if the partition has no leader.
    bounds: Option<LogBounds>,
    committed: Option<Offset>,
    /// `None` if no member has the partition, or if that isn't known.
    member: Option<String>,
}

impl Row {
    /// From the committed offset to the end. `None` if one of them isn't known.
    fn lag(&self) -> Option<u64> {
        Some(self.bounds?.latest.since(self.committed?))
    }
}

impl View<'_> {
    fn total_lag(&self) -> u64 {
        self.rows.iter().filter_map(Row::lag).sum()
    }

    fn group_in_words(&self) -> String {
        match self.group {
            None => "does not exist yet, or this client may not see it".to_owned(),
            Some(Group {
                state: Some(state),
                members: Members::Known(members),
            }) => format!("has {} members and is {state}", members.len()),
            Some(_) => {
                "uses the group protocol of KIP-848: its members are not known here".to_owned()
            }
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "topic `{}`, group `{}`, which {}\n",
            self.topic,
            self.name,
            self.group_in_words()
        );
        let _ = writeln!(
            text,
            "{:>9}  {:>15}  {:>15}  {:>15}  {:>15}  member",
            "partition", "beginning", "end", "committed", "lag"
        );
        let cell = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        for row in &self.rows {
            let bound = |of: fn(LogBounds) -> Offset| cell(row.bounds.map(|b| of(b).to_string()));
            let member = row.member.as_deref().unwrap_or("-");
            let _ = writeln!(
                text,
                "{:>9}  {:>15}  {:>15}  {:>15}  {:>15}  {}",
                row.partition.to_string(),
                bound(|bounds| bounds.earliest),
                bound(|bounds| bounds.latest),
                cell(row.committed.map(|offset| offset.to_string())),
                cell(row.lag().map(|lag| lag.to_string())),
                printable(member.as_bytes(), NAME_CHARACTERS),
            );
        }
        let _ = writeln!(text, "lag in all: {}", self.total_lag());
        text
    }

    fn to_json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            json!({
                "partition": row.partition.number,
                "beginning": row.bounds.map(|bounds| bounds.earliest.0),
                "end": row.bounds.map(|bounds| bounds.latest.0),
                "committed": row.committed.map(|offset| offset.0),
                "lag": row.lag(),
                "member": row.member,
            })
        });
        let members = self.group.and_then(|group| match &group.members {
            Members::Known(members) => Some(members.len()),
            Members::Unknown => None,
        });
        let view = json!({
            "topic": self.topic,
            "group": self.name,
            "state": self.group.and_then(|group| group.state.as_deref()),
            "members": members,
            "lag": self.total_lag(),
            "partitions": rows.collect::<Vec<_>>(),
        });
        format!("{view}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown_as_a_number() {
        let row = |bounds, committed| Row {
            partition: TopicPartition::consumed(0),
            bounds,
            committed,
            member: None,
        };
        let bounds = LogBounds {
            earliest: Offset(5),
            latest: Offset(20),
        };
        let view = View {
            topic: "t",
            name: "g",
            group: None,
            rows: vec![
                row(Some(bounds), Some(Offset(8))),
                row(Some(bounds), None),
                row(None, Some(Offset(8))),
            ],
        };
        let json: serde_json::Value = serde_json::from_str(&view.to_json()).unwrap();
        let lag = |row: usize| json["partitions"][row]["lag"].as_u64();
        assert_eq!([lag(0), lag(1), lag(2)], [Some(12), None, None]);
        assert_eq!(json["lag"], 12);
        let text = view.to_text();
        let cells: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["0", "5", "20", "8", "12", "-"]);
        let cells: Vec<&str> = text.lines().nth(4).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["0", "-", "-", "8", "-", "-"]);
    }
}
