//! What is wrong with a configuration: every fault found, one line each.

use std::fmt;

/// All faults of a configuration, in the order in which they were found. `Display` gives one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    lines: Vec<String>,
}

impl ConfigErrors {
    /// The faults, one line each: the key or variable in backticks, what was found, what to do.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Notes a fault. `place` stands in front, as it is.
    pub fn add(&mut self, place: impl fmt::Display, fault: impl fmt::Display) {
        self.lines.push(format!("{place}: {fault}"));
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// The longest text that an error quotes, in characters.
const QUOTED_CHARS: usize = 80;

/// A text in backticks, on one line and cut to a bounded length. A text that may hold a credential
/// isn't quoted at all: a URI put under the wrong key must not end up in a log.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['@', '{', '"']) || text.contains("://") {
        return "a text that is not shown, as it may hold a secret".to_owned();
    }
    let mut shown: String = text
        .chars()
        .take(QUOTED_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
