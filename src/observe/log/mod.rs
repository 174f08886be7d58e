//! Log lines: where they go, how they look, and how one that repeats is held back.

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

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: `ts` (RFC 3339, UTC, milliseconds), `level`, `target`, `thread`,
    /// `msg`, and the record's fields.
    Json,
    /// `ts LEVEL thread target: msg key=value …`
    Text,
}

/// Sends the log, and the message of any panic, to standard error.
///
/// `RUST_LOG` beats `level`, where it is valid. A line that can't be written is lost, silently: a
/// reader of the log that goes away must not take the worker with it.
///
/// # Errors
/// If the process has a logger already.
pub fn init(level: LevelFilter, format: LogFormat) -> Result<(), SetLoggerError> {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level);
    // env_logger would read the variable itself, but prints what is wrong with it with `eprintln!`:
    // no JSON, and a panic where standard error is closed.
    let filters = checked_filters(env::var("RUST_LOG"));
    if let Ok(Some(filters)) = &filters {
        builder.parse_filters(filters);
    }
    builder.format(move |out, record| {
        if is_closed_already(record) {
            return Ok(());
        }
        write_line(out, format, record)
    });
    builder.try_init()?;

    if let Err(error) = filters {
        log::warn!("`RUST_LOG` is not valid, the configured level holds: {error}");
    }
    log_panics();
    Ok(())
}

/// rdkafka calls it an error that a consumer is closed already when it is dropped.
fn is_closed_already(record: &Record<'_>) -> bool {
    record.target() == "rdkafka::consumer::base_consumer"
        && record.args().to_string().contains("consumer queue on drop")
}

/// What `RUST_LOG` asks for, if anything, or what is wrong with it.
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

/// Makes a panic a log line like any other: the standard message has several lines, none of them
/// JSON. Where even errors are filtered out, the standard message stays.
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
    // `panic!` carries one or the other: a literal, or a formatted text.
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
