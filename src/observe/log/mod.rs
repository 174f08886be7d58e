//! The log: the queue and the thread that writes it, the format of a line, and the rate limit for lines that
//! repeat.

mod line;
mod queue;
mod rate;
mod recent;
#[cfg(test)]
mod tests;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env::{self, VarError};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use env_logger::Target;
use jiff::Timestamp;
use log::kv::Value;
use log::{Level, LevelFilter, Record};

pub use line::Source;
pub use rate::{RateLimited, report_suppressed};
pub use recent::recent_problems;

use queue::LineQueue;

/// How long the end of the process waits for the reader of the log.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the writing thread looks for lines that a rate limit has suppressed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The number of suppressed lines is logged this long after the last of them, unless a further line of their kind
/// contains it before.
const SUPPRESSED_FOR: Duration = Duration::from_secs(2);

/// A process has one log.
static QUEUE: LineQueue = LineQueue::new();

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line: `ts` (RFC 3339, UTC, milliseconds), `level`, `target`, `thread`, `msg`,
    /// `group`, `instance`, and the fields of the log record.
    Json,
    /// One JSON object per line, with the names of the Elastic Common Schema.
    Ecs,
    /// `ts LEVEL thread target: msg key=value …`
    Text,
}

/// What a line looks like, and who it says wrote it.
#[derive(Debug, Clone)]
struct Style {
    format: LogFormat,
    source: Option<Source>,
}

/// Sends the log, and the message of every panic, to standard error.
///
/// A thread of its own writes the lines, so that no other thread waits for the reader of the log. A valid
/// `RUST_LOG` overrides `level`. A line that can't be written, or that finds the queue full, is dropped
/// and counted: the worker must go on whatever the reader of its log does. Fails if the process already has a
/// logger, or if the system has no thread to give. Lines of libraries for which `is_noise` are left out. `source` is in
/// every line.
pub fn init(
    level: LevelFilter,
    format: LogFormat,
    source: Option<Source>,
    is_noise: fn(&Record<'_>) -> bool,
) -> io::Result<()> {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    // env_logger could read the variable itself, but reports an invalid one with `eprintln!`: that isn't
    // JSON, and it panics if standard error is closed.
    let filters = checked_filters(env::var("RUST_LOG"));
    if let Ok(Some(filters)) = &filters {
        builder.parse_filters(filters);
    }
    let style = Style { format, source };
    let of_lines = style.clone();
    builder.format(move |out, record| {
        if is_noise(record) {
            return Ok(());
        }
        let now = Timestamp::now();
        recent::note(now, record);
        write_line(out, now, &of_lines, record)
    });
    builder.target(Target::Pipe(Box::new(IntoQueue)));
    builder.try_init().map_err(io::Error::other)?;
    start_writing(style.clone())?;

    if let Err(error) = filters {
        log::warn!("`RUST_LOG` is not valid, so the configured log level is used: {error}");
    }
    panic::set_hook(Box::new(move |info| log_panic(info, &style)));
    Ok(())
}

/// Writes a text to standard error, also in a process that has no log. Waits for a reader only for a short time.
pub fn print(text: &str) {
    print_bytes(format!("{text}\n").as_bytes(), LogFormat::Text);
}

/// Writes one line of the log whatever the filters, also in a process that has no log. Waits for a reader only for a
/// short time.
pub fn print_line(format: LogFormat, level: Level, message: &str) {
    let style = Style {
        format,
        source: None,
    };
    let line = line_of(
        &style,
        &Record::builder()
            .level(level)
            .target(env!("CARGO_CRATE_NAME"))
            .args(format_args!("{message}"))
            .build(),
    );
    print_bytes(&line, format);
}

fn print_bytes(bytes: &[u8], format: LogFormat) {
    QUEUE.push(bytes);
    let style = Style {
        format,
        source: None,
    };
    // Without the thread it can't be written, and there is nowhere to report that.
    if start_writing(style).is_ok() {
        flush();
    }
}

/// Waits until the log is written, but at most half a second: a log that nobody reads must not keep the process from
/// ending. To be called before the process ends.
pub fn flush() {
    // If the time is up, the lines are lost. There is nowhere to report that.
    let _ = QUEUE.flush(FLUSH_TIMEOUT);
}

/// How many lines were dropped since the process started, because nobody read the log fast enough.
pub fn dropped_lines() -> u64 {
    QUEUE.dropped()
}

/// Where env_logger writes its lines, each with one call.
struct IntoQueue;

impl Write for IntoQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes the log. It isn't one of the worker's watched threads: it starts before them, has
/// to outlive them, and does nothing but wait and write. If it ended, the log would end, and every dropped line
/// would be counted.
fn start_writing(style: Style) -> io::Result<()> {
    static IS_WRITING: AtomicBool = AtomicBool::new(false);
    if IS_WRITING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let thread = thread::Builder::new().name("log".to_owned());
    let started = thread.spawn(move || write_queue(&style)).map(drop);
    if started.is_err() {
        IS_WRITING.store(false, Ordering::Relaxed);
    }
    started
}

fn write_queue(style: &Style) {
    let mut buffer = Vec::new();
    let mut next_look = Instant::now() + LOOK_INTERVAL;
    loop {
        QUEUE.write_next(&mut io::stderr(), &mut buffer, LOOK_INTERVAL, |dropped| {
            dropped_line(dropped, style)
        });
        let now = Instant::now();
        if now >= next_look {
            report_suppressed(now, SUPPRESSED_FOR);
            next_look = now + LOOK_INTERVAL;
        }
    }
}

/// The line that reports dropped lines; empty if the filters drop warnings.
fn dropped_line(dropped: u64, style: &Style) -> Vec<u8> {
    if !log::log_enabled!(Level::Warn) {
        return Vec::new();
    }
    line_of(
        style,
        &Record::builder()
            .level(Level::Warn)
            .target(module_path!())
            .args(format_args!(
                "{dropped} lines of the log were dropped, because nobody read them in time"
            ))
            .key_values(&[("dropped", dropped)])
            .build(),
    )
}

/// The filters in `RUST_LOG`, if there are any. The error says why they aren't valid.
fn checked_filters(variable: Result<String, VarError>) -> Result<Option<String>, String> {
    match variable {
        Ok(filters) if filters.trim().is_empty() => Ok(None),
        Ok(filters) => match env_filter::Builder::new().try_parse(&filters) {
            Ok(_) => Ok(Some(filters)),
            Err(error) => Err(error.to_string()),
        },
        Err(VarError::NotPresent) => Ok(None),
        Err(error @ VarError::NotUnicode(_)) => Err(error.to_string()),
    }
}

fn write_line(
    out: &mut impl Write,
    now: Timestamp,
    style: &Style,
    record: &Record<'_>,
) -> io::Result<()> {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let source = style.source.as_ref();
    match style.format {
        LogFormat::Json => line::json(out, now, thread, source, record),
        LogFormat::Ecs => line::ecs(out, now, thread, source, record),
        LogFormat::Text => line::text(out, now, thread, source, record),
    }
}

/// The line of a record that doesn't come from env_logger.
fn line_of(style: &Style, record: &Record<'_>) -> Vec<u8> {
    let now = Timestamp::now();
    recent::note(now, record);
    let mut line = Vec::new();
    // A write to memory can't fail.
    let _ = write_line(&mut line, now, style, record);
    line
}

/// Makes a panic one log line, whatever the filters: the standard message has several lines, and none of them is
/// JSON.
fn log_panic(info: &PanicHookInfo<'_>, style: &Style) {
    // The payload of `panic!` is a `&str` for a literal and a `String` for a formatted text.
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown cause");
    let location = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let backtrace = Backtrace::capture();
    let mut fields = vec![("location", Value::from(location.as_str()))];
    if backtrace.status() == BacktraceStatus::Captured {
        fields.push(("backtrace", Value::from_display(&backtrace)));
    }
    QUEUE.push(&line_of(
        style,
        &Record::builder()
            .level(Level::Error)
            .target(recent::PANIC_TARGET)
            .args(format_args!("panicked: {message}"))
            .key_values(&fields.as_slice())
            .build(),
    ));
    // A second panic may abort the process.
    flush();
}
