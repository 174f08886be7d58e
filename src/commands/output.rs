//! What the operator's commands print: results to standard output, everything else to standard error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Writes a result. A reader that has seen enough and closed the pipe is no failure.
///
/// # Errors
/// When standard output can't be written to.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::running(format!(
            "can't write to standard output: {error}"
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A line on standard error: an operator's, not the log's.
pub(super) fn tell(line: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// How far a command has come: one line that is drawn anew on a terminal, else a line now and then.
pub(super) struct Progress {
    is_terminal: bool,
    shown: Instant,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: Instant::now(),
            is_drawn: false,
        }
    }

    /// Shows what `line` says, if it is time to.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        let interval = if self.is_terminal {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(5)
        };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let line = line();
        // As in `tell`.
        let _ = if self.is_terminal {
            self.is_drawn = true;
            write!(io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            // As in `tell`.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Lines of a name and a count each, one below the other.
#[derive(Default)]
pub(super) struct Counts(String);

impl Counts {
    pub(super) fn row(&mut self, name: &str, count: u64) {
        let _ = writeln!(self.0, "{name:<40}{count:>14}");
    }

    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Bytes as text that can be shown to a terminal: control characters escaped, bytes that aren't UTF-8
/// too, cut to about `limit` characters.
pub(super) fn printable(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if shown >= limit {
                break;
            }
            shown += 1;
            match character {
                '\\' => text.push_str("\\\\"),
                // Also those that turn the direction of writing.
                c if c.is_control() || ('\u{200e}'..='\u{2069}').contains(&c) => {
                    text.extend(c.escape_default());
                }
                c => text.push(c),
            }
        }
        if shown >= limit {
            break;
        }
        for byte in chunk.invalid() {
            shown += 1;
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if shown >= limit && bytes.len() > limit {
        let _ = write!(text, "… ({} bytes in all)", bytes.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            ("h\u{e9}llo \u{1f600}".as_bytes(), "h\u{e9}llo \u{1f600}"),
            (b"a\x1b[2Jb\n\0", "a\\u{1b}[2Jb\\n\\u{0}"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("\u{202e}x".as_bytes(), "\\u{202e}x"),
            (b"a\\b", "a\\\\b"),
            (b"", ""),
        ] {
            assert_eq!(printable(bytes, 100), expected);
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(printable(&[b'a'; 100], 3), "aaa… (100 bytes in all)");
        assert_eq!(printable(b"aaa", 3), "aaa");
    }
}
