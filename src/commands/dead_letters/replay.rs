//! `dead-letters replay`: checks the arguments, starts the replay, and prints its result.

use jiff::Timestamp;

use crate::cli::ReplayDeadLetters;
use crate::commands::output::{self, CountTable, ProgressLine};
use crate::commands::servers::reader_of;
use crate::config::Config;
use crate::core::dead_letter::ReplayCriteria;
use crate::core::partition::TopicId;
use crate::failure::Failure;
use crate::replay::{self, ReplayRequest, ReplayTally};
use crate::runtime::CaughtSignals;

pub(super) fn replay(
    config: &Config,
    arguments: ReplayDeadLetters,
    signals: CaughtSignals,
) -> Result<(), Failure> {
    if let Some(to) = &arguments.to {
        check_target(config, to)?;
    }
    let since = arguments.since.map(|moment| moment.at(Timestamp::now()));
    let request = ReplayRequest {
        criteria: ReplayCriteria {
            topic: config.kafka.topic.clone(),
            consumer_group: config.kafka.group_id.clone(),
            reason: arguments.reason,
            since,
            max_replays: arguments.max_replays,
        },
        limit: arguments.limit,
        from_beginning: arguments.from_beginning,
        to: arguments.to,
        dry_run: arguments.dry_run,
    };
    let mut progress = ProgressLine::new();
    let (tally, result) = replay::replay(config, &request, signals, &mut |tally| {
        progress.show(|| progress_line(&request, tally));
    });
    drop(progress);
    output::print(summary(&request, &tally).as_bytes())?;
    result
}

/// Checks the topic before the replay: sending to a missing topic fails only after a long timeout.
fn check_target(config: &Config, to: &str) -> Result<(), Failure> {
    if to == config.kafka.dead_letter_topic {
        return Err(Failure::configuration(format!(
            "`--to {to}` is the dead letter topic itself: name another topic"
        )));
    }
    let reader = reader_of(config, TopicId::REPLAY_TARGET, to)?;
    match reader.bounds()? {
        Some(_) => Ok(()),
        None => Err(Failure::configuration(format!(
            "`--to {to}`: there is no such topic; create it first"
        ))),
    }
}

fn progress_line(request: &ReplayRequest, tally: &ReplayTally) -> String {
    let read = format!("read {} of {} dead letters", tally.read, tally.to_read);
    if request.dry_run {
        format!("{read}, {} to be replayed", tally.selected)
    } else {
        format!(
            "{read}, replayed {} of {}",
            tally.settled.sum(),
            tally.selected
        )
    }
}

fn summary(request: &ReplayRequest, tally: &ReplayTally) -> String {
    let mut counts = CountTable::default();
    let reason = request.criteria.reason;
    if request.dry_run {
        counts.row(&format!("{reason}: to be replayed"), tally.selected);
    } else {
        counts.row(&format!("{reason}: taken"), tally.selected);
        if let Some(to) = &request.to {
            counts.row(&format!("  published to `{to}`"), tally.settled.published);
        } else {
            counts.row("  stored in MongoDB", tally.settled.stored);
            counts.row("  already stored, identical", tally.settled.already_stored);
            let again: u64 = tally.settled.dead_lettered.values().sum();
            counts.row("  dead-lettered again", again);
            for (reason, count) in &tally.settled.dead_lettered {
                counts.row(&format!("    {reason}"), *count);
            }
        }
        let unsettled = tally.selected.saturating_sub(tally.settled.sum());
        if unsettled > 0 {
            counts.row("  not settled: left for the next run", unsettled);
        }
    }
    let max_replays = request.criteria.max_replays;
    counts.row(
        &format!("skipped: replayed {max_replays} times or more"),
        tally.replayed_enough,
    );
    for (name, count) in [
        ("skipped: without their value", tally.without_value),
        ("skipped: failed before --since", tally.older),
        ("skipped: from other topics", tally.other_topics),
        ("skipped: from other consumer groups", tally.other_groups),
    ] {
        if count > 0 {
            counts.row(name, count);
        }
    }
    counts.row("skipped: other reasons", tally.other_reasons);
    if tally.is_limited {
        counts.line("the limit was reached: there are more dead letters with this reason");
    }
    if tally.is_interrupted {
        counts.line("interrupted: the same command continues where this one stopped");
    }
    if tally.replayed_enough + tally.older > 0 && !request.dry_run {
        counts.line(
            "the next replay begins after the skipped dead letters; `--from-beginning` reads them again",
        );
    }
    counts.into_text()
}
