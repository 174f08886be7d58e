//! `check --connect`: checks Kafka and MongoDB beside each other, and the process meanwhile.

use std::time::{Duration, Instant};

use super::checklist::{Checked, Checklist, Finding};
use super::side::Running;
use super::{kafka_side, mongodb_side, process};
use crate::commands::output::ProgressLine;
use crate::config::Config;
use crate::failure::Failure;

/// How long both sides may take. Each question has a limit of its own, so only a server that hangs in the middle of an
/// answer reaches this.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn check(config: &Config) -> Checklist {
    let deadline = Instant::now() + LIMIT;
    let mut checklist = Checklist::new();
    checklist.add(Checked {
        name: "configuration",
        finding: match config.warnings() {
            warnings if warnings.is_empty() => Finding::Ok("it is valid".to_owned()),
            warnings => Finding::Warning(warnings.join("; ")),
        },
    });
    let kafka = Running::start(
        "check-kafka",
        config,
        &kafka_side::NAMES,
        kafka_side::check,
        Failure::kafka_unreachable,
    );
    let mongodb = Running::start(
        "check-mongodb",
        config,
        &mongodb_side::NAMES,
        mongodb_side::check,
        Failure::mongodb_unreachable,
    );
    process::check(config, &mut checklist);
    let mut progress = ProgressLine::new();
    for side in [kafka, mongodb] {
        for checked in side.finish(deadline, &mut progress) {
            checklist.add(checked);
        }
    }
    checklist
}
