//! The last warnings and errors, for the worker's status.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use log::{Level, Record};
use serde_json::{Map, Value};

use super::line::Fields;
use crate::observe::status::{self, Problem, time_text};

/// How many are kept, each with another message: rejections must not push out the cause of an outage.
const KEPT: usize = 20;
/// The most characters that are kept of the message, and of each field.
const MAX_CHARACTERS: usize = 500;

static RECENT: Mutex<VecDeque<Problem>> = Mutex::new(VecDeque::new());

/// The target of the line that reports a panic.
pub(super) const PANIC_TARGET: &str = "panic";

/// Keeps the record if it is a warning or an error.
pub(super) fn note(now: Timestamp, record: &Record<'_>) {
    let level = match record.level() {
        Level::Error => status::Level::Error,
        Level::Warn => status::Level::Warning,
        _ => return,
    };
    // A panic's message may quote what it was about, and a backtrace is long: both are in the log alone.
    let is_panic = record.target() == PANIC_TARGET;
    let fields = Fields::of(record).0.into_iter();
    let fields = fields.filter(|(key, _)| !is_panic || key == "location");
    let problem = Problem {
        at: time_text(now),
        level,
        message: if is_panic {
            "a thread panicked; the log has the message".to_owned()
        } else {
            cut(record.args().to_string())
        },
        fields: fields
            .map(|(key, value)| (key, cut_value(value)))
            .collect::<Map<_, _>>(),
        count: 1,
    };
    let mut recent = recent();
    let same = |old: &Problem| old.message == problem.message && old.level == problem.level;
    let before = recent.iter().position(same).and_then(|i| recent.remove(i));
    recent.truncate(KEPT - 1);
    recent.push_front(Problem {
        count: before.map_or(1, |before| before.count + 1),
        ..problem
    });
}

/// The last warnings and errors, the newest first.
pub fn recent_problems() -> Vec<Problem> {
    recent().iter().cloned().collect()
}

fn recent() -> MutexGuard<'static, VecDeque<Problem>> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(list) => {
            let text = Value::Array(list).to_string();
            serde_json::from_str(&text)
                .ok()
                .filter(|_| text.len() <= MAX_CHARACTERS)
                .unwrap_or_else(|| Value::String(cut(text)))
        }
        other => other,
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn note_one(level: Level, message: &str, fields: &[(&str, log::kv::Value<'_>)]) {
        let mut record = Record::builder();
        record.level(level).key_values(&fields);
        note(
            Timestamp::UNIX_EPOCH,
            &record.args(format_args!("{message}")).build(),
        );
    }

    /// The only test that notes anything, because the list belongs to the process.
    #[test]
    fn the_last_warnings_and_errors_are_kept_within_limits() {
        note_one(Level::Info, "not kept", &[]);
        for number in 0..KEPT + 5 {
            note_one(Level::Warn, &format!("old {number}"), &[]);
            note_one(Level::Error, "repeated", &[("number", number.into())]);
        }
        let long = "ä".repeat(MAX_CHARACTERS + 1);
        let list = format!("{:?}", vec![7; MAX_CHARACTERS]);
        note_one(
            Level::Error,
            &long,
            &[
                ("partition", 3.into()),
                ("reason", "invalid_json".into()),
                ("partitions", list.as_str().into()),
            ],
        );
        let recent = recent_problems();
        assert_eq!(recent.len(), KEPT);
        assert_eq!(recent[1].message, "repeated");
        assert_eq!(recent[1].count, 25);
        assert_eq!(recent[1].fields["number"], json!(24));
        let old = recent[2..].iter().map(|problem| problem.message.clone());
        let expected = (7..KEPT + 5).rev().map(|number| format!("old {number}"));
        assert!(old.eq(expected));
        let newest = &recent[0];
        assert_eq!(newest.level, status::Level::Error);
        assert_eq!(newest.at, "1970-01-01T00:00:00.000Z");
        assert_eq!(newest.message.chars().count(), MAX_CHARACTERS + 1);
        assert_eq!(newest.fields["partition"], json!(3));
        assert_eq!(newest.fields["reason"], json!("invalid_json"));
        let partitions = newest.fields["partitions"].as_str().unwrap();
        assert_eq!(partitions.chars().count(), MAX_CHARACTERS + 1);
    }
}
