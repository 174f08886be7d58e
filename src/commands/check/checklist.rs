//! The result of each check, and all of them as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::commands::output::printable;
use crate::failure::Failure;

/// The most characters printed of what was found: servers may have written it.
const CHARACTERS: usize = 2000;

#[derive(Debug)]
pub(super) enum Finding {
    Ok(String),
    /// The worker would run. An operator should know this.
    Warning(String),
    /// The worker can't do its work until an operator acts. With what to do, where the failure doesn't say it.
    Failed(Failure, Option<&'static str>),
    /// The check could not be made.
    Skipped(String),
}

impl Finding {
    /// A failure that says what to do.
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed(failure, None)
    }
}

#[derive(Debug)]
pub(super) struct Checked {
    /// Such as `kafka.topic`.
    pub name: &'static str,
    pub finding: Finding,
}

#[derive(Debug, Default)]
pub(super) struct Checklist {
    lines: Vec<Line>,
    failures: Vec<Failure>,
    is_good: bool,
}

/// What is shown of one check.
#[derive(Debug)]
struct Line {
    name: &'static str,
    status: &'static str,
    text: String,
}

impl Checklist {
    pub(super) fn new() -> Self {
        Self {
            is_good: true,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, checked: Checked) {
        let (status, text) = match checked.finding {
            Finding::Ok(text) => ("ok", text),
            Finding::Warning(text) => ("warning", text),
            Finding::Skipped(text) => ("skipped", text),
            Finding::Failed(failure, advice) => {
                let mut text = failure.chain().to_string();
                if let Some(advice) = advice {
                    text.push_str("; ");
                    text.push_str(advice);
                }
                self.is_good = false;
                self.failures.push(failure);
                ("failed", text)
            }
        };
        self.lines.push(Line {
            name: checked.name,
            status,
            text,
        });
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    pub(super) fn take_failures(&mut self) -> Vec<Failure> {
        std::mem::take(&mut self.failures)
    }

    pub(super) fn to_text(&self) -> String {
        let width = self.lines.iter().map(|line| line.name.len()).max();
        let width = width.unwrap_or(0);
        let mut text = String::new();
        for line in &self.lines {
            let found = printable(line.text.as_bytes(), CHARACTERS);
            let _ = writeln!(text, "{:<8} {:<width$}  {found}", line.status, line.name);
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let line =
            |line: &Line| json!({"check": line.name, "status": line.status, "text": line.text});
        self.lines.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line() {
        let mut checklist = Checklist::new();
        for (name, finding) in [
            (
                "kafka.topic",
                Finding::Ok("`t` has 3 partitions".to_owned()),
            ),
            ("kafka.group", Finding::Warning("a\nb".to_owned())),
        ] {
            checklist.add(Checked { name, finding });
        }
        assert!(checklist.is_good());
        checklist.add(Checked {
            name: "mongodb.server",
            finding: Finding::Failed(
                Failure::mongodb_unreachable().because("no answer"),
                Some("start it"),
            ),
        });
        assert!(!checklist.is_good());
        assert_eq!(checklist.take_failures().len(), 1);
        let expected = "\
ok       kafka.topic     `t` has 3 partitions
warning  kafka.group     a\\nb
failed   mongodb.server  MongoDB could not be reached: no answer; start it
";
        assert_eq!(checklist.to_text(), expected);
        assert_eq!(checklist.to_json()[2]["status"], "failed");
    }
}
