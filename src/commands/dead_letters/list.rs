//! `dead-letters list`: counts the dead letters by reason, topic and partition.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::cli::ListDeadLetters;
use crate::commands::output::{self, ProgressLine, printable};
use crate::commands::servers::reader_of;
use crate::config::Config;
use crate::core::dead_letter::DeadLetterHeaders;
use crate::core::partition::{TopicId, TopicPartition};
use crate::core::rejection::Reason;
use crate::failure::Failure;
use crate::kafka::{Next, Ranges, TopicReader};

/// How long one read waits for a record before the progress is shown again.
const READ_WAIT: Duration = Duration::from_millis(200);
/// How much a dead letter's own timestamp may differ from the time of the failure in its headers: it is
/// written a little later, and the broker's clock may differ.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// The most characters printed of a reason or a topic: another program may have written them.
const NAME_CHARACTERS: usize = 60;

pub(super) fn list(config: &Config, arguments: &ListDeadLetters) -> Result<(), Failure> {
    let filter = Filter::new(arguments, Timestamp::now());
    let topic = &config.kafka.dead_letter_topic;
    let mut reader = reader_of(config, TopicId::DEAD_LETTERS, topic)?;
    let ranges = ranges(&reader, topic, filter.since)?;
    let all: u64 = ranges
        .values()
        .map(|range| range.end.since(range.start))
        .sum();
    reader.read(&ranges)?;
    let mut groups = Groups::default();
    let mut progress = ProgressLine::new();
    let mut read: u64 = 0;
    loop {
        progress.show(|| format!("read {read} of {all} dead letters"));
        match reader.next(READ_WAIT)? {
            Next::Record(letter) => {
                read += 1;
                let headers = letter.dead_letter_headers();
                let failed_at = headers.failed_at.or(letter.timestamp().instant());
                if filter.matches(&headers, failed_at) {
                    groups.add(&headers, failed_at);
                }
            }
            Next::Nothing => {}
            Next::End => break,
        }
    }
    drop(progress);
    let text = if arguments.json {
        groups.to_json(topic)
    } else {
        groups.to_text()
    };
    output::print(text.as_bytes())
}

/// The offsets to read: from the beginning, or from about `since` on, to the present end.
fn ranges(reader: &TopicReader, topic: &str, since: Option<Timestamp>) -> Result<Ranges, Failure> {
    let Some(bounds) = reader.bounds()? else {
        output::print_warning(&format!("there is no dead letter topic `{topic}` yet"));
        return Ok(Ranges::new());
    };
    let starts = match since {
        None => None,
        Some(since) => {
            let partitions: Vec<TopicPartition> = bounds.keys().copied().collect();
            let from = since.checked_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::MIN);
            let found = reader.offsets_at(&partitions, from.as_millisecond());
            Some(found?)
        }
    };
    let ranges = bounds.into_iter().map(|(partition, bounds)| {
        let start = match &starts {
            None => bounds.earliest,
            // A partition without a start has no record of `since` or later, so nothing is read.
            Some(starts) => starts.get(&partition).copied().unwrap_or(bounds.latest),
        };
        (partition, start..bounds.latest)
    });
    Ok(ranges.collect())
}

/// The dead letters to count. `None` means any.
struct Filter<'a> {
    reason: Option<&'static str>,
    topic: Option<&'a str>,
    partition: Option<TopicPartition>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a ListDeadLetters, now: Timestamp) -> Self {
        Self {
            reason: arguments.reason.map(Reason::as_str),
            topic: arguments.topic.as_deref(),
            partition: arguments.partition.map(TopicPartition::consumed),
            since: arguments.since.map(|moment| moment.at(now)),
            until: arguments.until.map(|moment| moment.at(now)),
        }
    }

    fn matches(&self, letter: &DeadLetterHeaders<'_>, failed_at: Option<Timestamp>) -> bool {
        self.reason
            .is_none_or(|reason| letter.reason == Some(reason))
            && self.topic.is_none_or(|topic| letter.topic == Some(topic))
            && self
                .partition
                .is_none_or(|partition| letter.partition == Some(partition))
            && self
                .since
                .is_none_or(|since| failed_at.is_some_and(|at| at >= since))
            && self
                .until
                .is_none_or(|until| failed_at.is_some_and(|at| at < until))
    }
}

/// Reason, topic and partition. A record of another program may have none of them.
type GroupKey = (Option<String>, Option<String>, Option<TopicPartition>);

#[derive(Default)]
struct Groups(BTreeMap<GroupKey, GroupSummary>);

/// The number of dead letters in a group, and the times of the first and the last failure.
#[derive(Default)]
struct GroupSummary {
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Groups {
    fn add(&mut self, letter: &DeadLetterHeaders<'_>, failed_at: Option<Timestamp>) {
        let key = (
            letter.reason.map(str::to_owned),
            letter.topic.map(str::to_owned),
            letter.partition,
        );
        let group = self.0.entry(key).or_default();
        group.count += 1;
        let Some(at) = failed_at else {
            return;
        };
        group.first = Some(group.first.map_or(at, |first| first.min(at)));
        group.last = Some(group.last.map_or(at, |last| last.max(at)));
    }

    fn total(&self) -> u64 {
        self.0.values().map(|group| group.count).sum()
    }

    fn to_text(&self) -> String {
        let headings = [
            "reason",
            "topic",
            "partition",
            "count",
            "first failed",
            "last failed",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        rows.extend(self.0.iter().map(|((reason, topic, partition), group)| {
            [
                name(reason.as_deref()),
                name(topic.as_deref()),
                partition.map_or_else(nothing, |partition| partition.to_string()),
                group.count.to_string(),
                group.first.map_or_else(nothing, seconds),
                group.last.map_or_else(nothing, seconds),
            ]
        }));
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let width = |row: &[String; 6]| row[column].chars().count();
                rows.iter().map(width).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // The partition and the count are numbers, and so aligned to the right.
                let _ = match column {
                    2 | 3 => write!(line, "{cell:>width$}  "),
                    _ => write!(line, "{cell:<width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let _ = writeln!(text, "{} dead letters", self.total());
        text
    }

    fn to_json(&self, topic: &str) -> String {
        let groups = self.0.iter().map(|((reason, topic, partition), group)| {
            json!({
                "reason": reason,
                "topic": topic,
                "partition": partition.map(|partition| partition.number),
                "count": group.count,
                "first_failed_at": group.first.map(millis),
                "last_failed_at": group.last.map(millis),
            })
        });
        let groups: Vec<_> = groups.collect();
        let list = json!({
            "dead_letter_topic": topic,
            "count": self.total(),
            "groups": groups,
        });
        format!("{list}\n")
    }
}

fn name(text: Option<&str>) -> String {
    text.map_or_else(nothing, |text| printable(text.as_bytes(), NAME_CHARACTERS))
}

fn nothing() -> String {
    "-".to_owned()
}

fn seconds(timestamp: Timestamp) -> String {
    format!("{timestamp:.0}")
}

fn millis(timestamp: Timestamp) -> String {
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>(reason: &'a str, topic: &'a str, partition: i32) -> DeadLetterHeaders<'a> {
        DeadLetterHeaders {
            reason: Some(reason),
            topic: Some(topic),
            partition: Some(TopicPartition::consumed(partition)),
            ..DeadLetterHeaders::NONE
        }
    }

    #[test]
    fn each_group_has_its_count_and_its_first_and_last_failure() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let mut groups = Groups::default();
        groups.add(&letter("invalid_json", "data-topic", 10), at(7));
        groups.add(&letter("invalid_json", "data-topic", 10), at(5));
        groups.add(&letter("id_conflict", "data-topic", 2), at(6));
        groups.add(&DeadLetterHeaders::NONE, None);
        let expected = "\
reason        topic       partition  count  first failed          last failed
-             -                   -      1  -                     -
id_conflict   data-topic          2      1  1970-01-01T00:00:06Z  1970-01-01T00:00:06Z
invalid_json  data-topic         10      2  1970-01-01T00:00:05Z  1970-01-01T00:00:07Z
4 dead letters
";
        assert_eq!(groups.to_text(), expected);
        let json: serde_json::Value = serde_json::from_str(&groups.to_json("d")).unwrap();
        assert_eq!(json["count"], 4);
        assert_eq!(
            json["groups"][2]["last_failed_at"],
            "1970-01-01T00:00:07.000Z"
        );
    }

    #[test]
    fn a_dead_letter_matches_only_if_it_meets_every_condition() {
        let at = |second: i64| Timestamp::from_second(second).ok();
        let filter = Filter {
            reason: Some("invalid_json"),
            topic: Some("data-topic"),
            partition: Some(TopicPartition::consumed(1)),
            since: at(10),
            until: at(20),
        };
        let matching = letter("invalid_json", "data-topic", 1);
        assert!(filter.matches(&matching, at(10)));
        for (letter, failed_at) in [
            (letter("id_conflict", "data-topic", 1), at(10)),
            (letter("invalid_json", "other", 1), at(10)),
            (letter("invalid_json", "data-topic", 2), at(10)),
            (matching, at(9)),
            (matching, at(20)),
            (matching, None),
        ] {
            assert!(
                !filter.matches(&letter, failed_at),
                "{letter:?}, {failed_at:?}"
            );
        }
    }
}
