//! The log: where lines are written, their format, and the rate limit for lines that repeat.

mod line;
mod rate;
#[cfg(test)]
mod tests;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env::{self, VarError};
use std::panic::{self, PanicHookInfo};
use std::thread;

use jiff::Timestamp;
use log::{Level, LevelFilter, Record, SetLoggerError};

pub use rate::RateLimited;

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line: `ts` (RFC 3339, UTC, milliseconds), `level`, `target`, `thread`, `msg`,
    /// and the fields of the log record.
    Json,
    /// `ts LEVEL thread target: msg key=value …`
    Text,
}

/// Sends the log, and the message of every panic, to standard error.
///
/// A valid `RUST_LOG` overrides `level`. A line that can't be written is dropped: the worker must go on if
/// the reader of its log disappears. Fails if the process already has a logger.
pub fn init(level: LevelFilter, format: LogFormat) -> Result<(), SetLoggerError> {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    // env_logger could read the variable itself, but reports an invalid one with `eprintln!`: that isn't
    // JSON, and it panics if standard error is closed.
    let filters = checked_filters(env::var("RUST_LOG"));
    if let Ok(Some(filters)) = &filters {
        builder.parse_filters(filters);
    }
    builder.format(move |out, record| {
        if is_closed_consumer_error(record) {
            return Ok(());
        }
        write_line(out, format, record)
    });
    builder.try_init()?;

    if let Err(error) = filters {
        log::warn!("`RUST_LOG` is not valid, so the configured log level is used: {error}");
    }
    log_panics();
    Ok(())
}

/// Whether this is the error that rdkafka logs when a consumer is dropped after it was closed. The worker
/// always closes its consumer first, so the line means nothing.
fn is_closed_consumer_error(record: &Record<'_>) -> bool {
    record.target() == "rdkafka::consumer::base_consumer"
        && record.args().to_string().contains("consumer queue on drop")
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
    out: &mut impl std::io::Write,
    format: LogFormat,
    record: &Record<'_>,
) -> std::io::Result<()> {
    let now = Timestamp::now();
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    match format {
        LogFormat::Json => line::json(out, now, thread, record),
        LogFormat::Text => line::text(out, now, thread, record),
    }
}

/// Makes every panic a log line: the standard message has several lines, and none of them is JSON. If the
/// filters drop even errors, the standard message is printed.
fn log_panics() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if log::log_enabled!(target: "panic", Level::Error) {
            log_panic(info);
        } else {
            standard(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
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
    if backtrace.status() == BacktraceStatus::Captured {
        log::error!(target: "panic", location, backtrace:%; "panicked: {message}");
    } else {
        log::error!(target: "panic", location; "panicked: {message}");
    }
}
