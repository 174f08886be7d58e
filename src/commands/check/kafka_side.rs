//! What the worker needs of Kafka: its topic, its group and its dead letter topic.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checklist::Finding;
use super::side::Side;
use crate::commands::servers::reader_of;
use crate::config::{AutoOffsetReset, Config};
use crate::core::dead_letter::replay_group;
use crate::core::partition::{Offset, TopicId, TopicPartition};
use crate::core::rejection::Reason;
use crate::core::starting_offset::{FirstStart, LogBounds, StartingOffset};
use crate::failure::Failure;
use crate::kafka::{
    Aspect, DeadLetterTopic, Group, Members, Next, PartitionState, Ranges, ReadError, Topic,
    TopicReader, dead_letter_topic_exists, hides_topic_settings, missing_topic,
};

pub(super) const NAMES: [&str; 12] = [
    "kafka.brokers",
    "kafka.topic",
    "kafka.leaders",
    "kafka.read",
    "kafka.group",
    "kafka.committed",
    "dead_letters.topic",
    "dead_letters.size",
    "dead_letters.cleanup_policy",
    "dead_letters.retention",
    "dead_letters.copies",
    "dead_letters.replay",
];

/// How long the check waits for one message.
const ONE_MESSAGE: Duration = Duration::from_secs(10);

const SILENT: &str = "Kafka gave no answer before";
const NO_TOPIC: &str = "there is no topic to look at";

pub(super) fn check(config: &Config, side: &mut Side) {
    let topic = &config.kafka.topic;
    let states = reader_of(config, TopicId::CONSUMED, topic)
        .and_then(|reader| Ok((reader.partition_states()?, reader)));
    let (states, mut reader) = match states {
        Ok(found) => found,
        Err(failure) => {
            let advice = "see whether the brokers are up, and whether `kafka.bootstrap_servers` and the addresses that \
                          they advertise are right";
            side.report("kafka.brokers", Finding::Failed(failure, Some(advice)));
            return side.skip_the_rest(SILENT);
        }
    };
    let servers = &config.kafka.bootstrap_servers;
    side.report(
        "kafka.brokers",
        Finding::Ok(format!("`{servers}` can be reached")),
    );
    if check_all(config, side, states, &mut reader).is_err() {
        side.skip_the_rest(SILENT);
    }
}

/// Kafka doesn't answer any more.
struct Silent;

fn check_all(
    config: &Config,
    side: &mut Side,
    states: Option<Vec<PartitionState>>,
    reader: &mut TopicReader,
) -> Result<(), Silent> {
    let topic = &config.kafka.topic;
    let bounds = if let Some(states) = states {
        let count = states.len();
        side.report(
            "kafka.topic",
            Finding::Ok(format!("`{topic}` has {count} partitions")),
        );
        let bounds = check_leaders(side, reader, &states)?;
        let read = read_one(reader, &bounds);
        report(side, "kafka.read", read)?;
        bounds
    } else {
        let missing = format!(
            "there is no topic `{topic}`, or this client may not see it: create it, correct `kafka.topic`, or grant \
             this client `Read` on it"
        );
        side.report(
            "kafka.topic",
            Finding::failed(Failure::needs_operator(missing)),
        );
        side.report("kafka.leaders", Finding::Skipped(NO_TOPIC.to_owned()));
        side.report("kafka.read", Finding::Skipped(NO_TOPIC.to_owned()));
        BTreeMap::new()
    };
    let group = reader.group().map(|group| group_in_words(config, group));
    report(side, "kafka.group", group)?;
    let partitions: Vec<TopicPartition> = bounds.keys().copied().collect();
    if partitions.is_empty() {
        side.report("kafka.committed", Finding::Skipped(NO_TOPIC.to_owned()));
    } else {
        let committed = reader.committed(&partitions);
        let committed = committed.map(|committed| commits_in_words(&committed, &bounds));
        report(side, "kafka.committed", committed)?;
    }
    check_dead_letter_topic(config, side);
    Ok(())
}

/// Reports a finding or an error. Fails if the error is that nobody answers.
fn report(
    side: &mut Side,
    name: &'static str,
    result: Result<Finding, ReadError>,
) -> Result<(), Silent> {
    match result {
        Ok(finding) => {
            side.report(name, finding);
            Ok(())
        }
        Err(error) => {
            let is_silent = matches!(
                error,
                ReadError::NoAnswer { .. } | ReadError::Silence { .. }
            );
            side.report(name, Finding::failed(error.into()));
            if is_silent { Err(Silent) } else { Ok(()) }
        }
    }
}

/// The bounds of the partitions that have a leader.
fn check_leaders(
    side: &mut Side,
    reader: &TopicReader,
    states: &[PartitionState],
) -> Result<BTreeMap<TopicPartition, LogBounds>, Silent> {
    let (led, leaderless): (Vec<&PartitionState>, Vec<&PartitionState>) =
        states.iter().partition(|state| state.has_leader);
    let led: Vec<TopicPartition> = led.iter().map(|state| state.partition).collect();
    let bounds = match reader.bounds_of(&led) {
        Ok(bounds) => bounds,
        Err(error) => {
            report(side, "kafka.leaders", Err(error))?;
            return Ok(BTreeMap::new());
        }
    };
    let finding = if leaderless.is_empty() {
        Finding::Ok("every partition has a leader that answers".to_owned())
    } else {
        let leaderless: Vec<_> = leaderless.iter().map(|state| state.partition).collect();
        Finding::Warning(format!(
            "the partitions {leaderless:?} have no leader, so that nothing of them can be read: bring their brokers back"
        ))
    };
    side.report("kafka.leaders", finding);
    Ok(bounds)
}

/// Reads the oldest message: only a fetch shows that the client may read.
fn read_one(
    reader: &mut TopicReader,
    bounds: &BTreeMap<TopicPartition, LogBounds>,
) -> Result<Finding, ReadError> {
    let with_messages = bounds.iter().find(|(_, log)| log.earliest < log.latest);
    let Some((&partition, log)) = with_messages else {
        return Ok(Finding::Skipped("the topic has no message".to_owned()));
    };
    let range = log.earliest..log.earliest.next();
    reader.read(&Ranges::from([(partition, range)]))?;
    let found = match reader.next(ONE_MESSAGE)? {
        Next::Record(_) | Next::End => Finding::Ok("this client may read the topic".to_owned()),
        Next::Nothing => Finding::Warning(format!(
            "no message came within {} s, although partition {partition} has some",
            ONE_MESSAGE.as_secs()
        )),
    };
    reader.read(&Ranges::new())?;
    Ok(found)
}

fn group_in_words(config: &Config, group: Option<Group>) -> Finding {
    let name = &config.kafka.group_id;
    Finding::Ok(match group {
        None => {
            let start = match config.kafka.auto_offset_reset {
                AutoOffsetReset::Earliest => "beginning",
                AutoOffsetReset::Latest => "end",
            };
            format!(
                "there is no group `{name}` yet, or this client may not see it; a first start begins at the {start} \
                 of each partition"
            )
        }
        Some(Group {
            state: Some(state),
            members: Members::Known(members),
        }) => format!("`{name}` has {} members and is {state}", members.len()),
        Some(_) => format!(
            "`{name}` uses the group protocol of KIP-848, so that its members are not known here"
        ),
    })
}

fn commits_in_words(
    committed: &BTreeMap<TopicPartition, Offset>,
    bounds: &BTreeMap<TopicPartition, LogBounds>,
) -> Finding {
    let mut lag = 0;
    let mut outside = Vec::new();
    for (partition, &bounds) in bounds {
        let committed = committed.get(partition).copied();
        let start = StartingOffset::decide(committed, bounds, FirstStart::Earliest);
        lag += bounds.latest.since(start.offset());
        match start {
            StartingOffset::Committed(_) | StartingOffset::First(_) => {}
            StartingOffset::Overtaken {
                committed,
                earliest,
            } => outside.push(format!(
                "partition {partition}: retention has deleted the messages from {committed} to {earliest}"
            )),
            StartingOffset::Recreated { committed, .. } => outside.push(format!(
                "partition {partition}: the committed offset {committed} is beyond the log's end, {}; the topic was \
                 recreated, and is read from its beginning",
                bounds.latest
            )),
        }
    }
    let found = format!(
        "{} of {} partitions have a committed offset, and {lag} offsets are not committed yet",
        committed.len(),
        bounds.len()
    );
    if outside.is_empty() {
        Finding::Ok(found)
    } else {
        Finding::Warning(format!("{found}; {}", outside.join("; ")))
    }
}

fn check_dead_letter_topic(config: &Config, side: &mut Side) {
    let name = &config.kafka.dead_letter_topic;
    if hides_topic_settings(config) {
        match dead_letter_topic_exists(config) {
            Ok(true) => side.report(
                "dead_letters.topic",
                Finding::Ok(format!("`{name}` exists")),
            ),
            Ok(false) => {
                side.report("dead_letters.topic", Finding::Warning(missing_topic(name)));
                return side.skip_the_rest(NO_TOPIC);
            }
            Err(error) => side.report("dead_letters.topic", Finding::failed(error.into())),
        }
        let replay = check_replay(config).unwrap_or_else(Finding::failed);
        side.report("dead_letters.replay", replay);
        return side
            .skip_the_rest("with `AWS_MSK_IAM` the client can't ask for a topic's settings");
    }
    let topic = match DeadLetterTopic::find(config) {
        Ok(Some(topic)) => topic,
        Ok(None) => {
            side.report("dead_letters.topic", Finding::Warning(missing_topic(name)));
            return side.skip_the_rest(NO_TOPIC);
        }
        Err(error) => {
            let why = format!(
                "can't look at the settings of `{name}`: {error}; see whether this client has the right \
                 `DescribeConfigs` on it"
            );
            side.report("dead_letters.topic", Finding::Warning(why));
            return side.skip_the_rest("the settings are not known");
        }
    };
    side.report(
        "dead_letters.topic",
        Finding::Ok(format!("`{name}` exists")),
    );
    for aspect in Aspect::ALL {
        let check = match aspect {
            Aspect::Size => "dead_letters.size",
            Aspect::CleanupPolicy => "dead_letters.cleanup_policy",
            Aspect::Retention => "dead_letters.retention",
            Aspect::Copies => "dead_letters.copies",
        };
        let setting = topic.setting(aspect);
        let finding = match topic.weak_point(aspect) {
            None => Finding::Ok(setting),
            Some(weak) => Finding::Warning(format!("{setting}: {weak}")),
        };
        side.report(check, finding);
    }
    let replay = check_replay(config).unwrap_or_else(Finding::failed);
    side.report("dead_letters.replay", replay);
}

/// Whether this client may do what `mongodb.replay_after_outage` needs.
fn check_replay(config: &Config) -> Result<Finding, Failure> {
    if !config.mongodb.replay_after_outage {
        let off = "`mongodb.replay_after_outage` is false".to_owned();
        return Ok(Finding::Skipped(off));
    }
    let group = replay_group(&config.kafka.group_id, Reason::MongodbUnavailable);
    let topic = Topic::new(TopicId::DEAD_LETTERS, &config.kafka.dead_letter_topic);
    let mut reader = TopicReader::new(config, topic, &group)?;
    let bounds = reader.bounds()?.unwrap_or_default();
    let partitions: Vec<TopicPartition> = bounds.keys().copied().collect();
    let committed = reader.committed(&partitions)?;
    read_one(&mut reader, &bounds)?;
    let left: u64 = bounds
        .iter()
        .map(|(partition, &bounds)| {
            let committed = committed.get(partition).copied();
            let start = StartingOffset::decide(committed, bounds, FirstStart::Earliest);
            bounds.latest.since(start.offset())
        })
        .sum();
    Ok(Finding::Ok(format!(
        "the workers store what an outage left here, as the group `{group}`: {left} offsets are left to look at"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_outside_of_the_log_are_a_warning() {
        let partition = TopicPartition::consumed;
        let bounds = |numbers: std::ops::Range<i32>| {
            let bounds = LogBounds {
                earliest: Offset(10),
                latest: Offset(20),
            };
            numbers.map(|n| (partition(n), bounds)).collect()
        };
        let committed: BTreeMap<_, _> = [(partition(0), Offset(15))].into();
        let Finding::Ok(found) = commits_in_words(&committed, &bounds(0..2)) else {
            panic!("a partition without a commit is no fault");
        };
        assert_eq!(
            found,
            "1 of 2 partitions have a committed offset, and 15 offsets are not committed yet"
        );
        for outside in [9, 21] {
            let committed = [(partition(0), Offset(outside))].into();
            let found = commits_in_words(&committed, &bounds(0..1));
            assert!(matches!(found, Finding::Warning(_)), "{outside}: {found:?}");
        }
    }
}
