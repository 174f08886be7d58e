//! The output of the operator's commands: results go to standard output, everything else to standard
//! error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use log::Level;

use crate::config::{Config, LogFormat as ConfiguredFormat};
use crate::failure::Failure;
use crate::observe::log::{self as worker_log, LogFormat};

/// Writes a result to standard output. If the reader closed the pipe (`| head`), that isn't a failure.
/// Fails when standard output can't be written for another reason.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    print_if_read(bytes).map(drop)
}

/// The same. Returns whether somebody still reads.
pub(super) fn print_if_read(bytes: &[u8]) -> Result<bool, Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::running(format!(
            "can't write to standard output: {error}"
        ))),
    }
}

/// A text of lines that is safe to show on a terminal: control characters are escaped.
pub(super) fn printable_lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_unsafe(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Whether a terminal may do something else than show it. The range has the characters that change the direction of text.
fn is_unsafe(character: char) -> bool {
    character.is_control() || ('\u{200e}'..='\u{2069}').contains(&character)
}

/// How a command other than `run` writes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errors {
    /// Plain lines.
    ForPeople,
    /// Lines of the log.
    AsLog(LogFormat),
}

/// Not set while there is no configuration: then errors are for people.
static ERRORS: OnceLock<Errors> = OnceLock::new();

/// From now on errors are for people if standard error is a terminal, and otherwise lines of the configured log.
/// Returns the format of the log.
pub(super) fn use_configured_errors(config: &Config) -> LogFormat {
    let format = log_format(config);
    let errors = if io::stderr().is_terminal() {
        Errors::ForPeople
    } else {
        Errors::AsLog(format)
    };
    match ERRORS.get_or_init(|| errors) {
        Errors::ForPeople => LogFormat::Text,
        Errors::AsLog(format) => *format,
    }
}

pub(super) fn log_format(config: &Config) -> LogFormat {
    match config.logging.format {
        ConfiguredFormat::Json => LogFormat::Json,
        ConfiguredFormat::Ecs => LogFormat::Ecs,
        ConfiguredFormat::Text => LogFormat::Text,
    }
}

/// Writes a failure with its causes to standard error.
pub(super) fn print_failure(failure: &Failure) {
    print_message(Level::Error, &failure.chain().to_string());
}

/// Writes a warning to standard error.
pub(super) fn print_warning(warning: &str) {
    print_message(Level::Warn, warning);
}

fn print_message(level: Level, message: &str) {
    match ERRORS.get() {
        Some(Errors::AsLog(format)) => worker_log::print_line(*format, level, message),
        Some(Errors::ForPeople) | None => {
            let kind = match level {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                Level::Info | Level::Debug | Level::Trace => "",
            };
            // If standard error is closed, there is nowhere to report it.
            let _ = writeln!(io::stderr(), "{kind}{message}");
        }
    }
}

/// Shows the progress of a command on standard error: one line that is overwritten on a terminal, or
/// a new line every few seconds elsewhere.
pub(super) struct ProgressLine {
    is_terminal: bool,
    shown: Instant,
    is_drawn: bool,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: Instant::now(),
            is_drawn: false,
        }
    }

    /// Shows the line, unless the last one was shown too recently. `line` is called only if it is shown.
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
        if self.is_terminal {
            self.is_drawn = true;
            // As in `print_message`, an error can't be reported anywhere.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        } else {
            print_message(Level::Info, &line);
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_drawn {
            // As in `print_message`, an error can't be reported anywhere.
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A text of rows, each with a name and a count, and of plain lines.
#[derive(Default)]
pub(super) struct CountTable(String);

impl CountTable {
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

/// Text that is safe to show on a terminal: control characters and bytes that aren't UTF-8 are escaped.
/// It is cut to about `limit` characters.
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
                c if is_unsafe(c) => text.extend(c.escape_default()),
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
    fn control_characters_and_invalid_utf8_are_escaped() {
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
    fn lines_stay_lines() {
        assert_eq!(
            printable_lines("a\\\n\u{1b}[2J\u{202e}b\n"),
            "a\\\n\\u{1b}[2J\\u{202e}b\n"
        );
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(printable(&[b'a'; 100], 3), "aaa… (100 bytes in all)");
        assert_eq!(printable(b"aaa", 3), "aaa");
    }
}
