//! Time: when the next message is due, and what is reported of the progress.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::connection::Result;

/// How often a line goes to standard error.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the progress file is written anew.
const FILE_INTERVAL: Duration = Duration::from_millis(50);

/// Spreads the messages evenly over time.
pub struct Pace {
    started: Instant,
    rate: u64,
}

impl Pace {
    /// So many messages a second; 0 is as fast as possible.
    pub fn new(rate: u64) -> Self {
        Self {
            started: Instant::now(),
            rate,
        }
    }

    /// How long to wait once so many messages are sent. Short waits are saved up for a longer one.
    pub fn wait_after(&self, sent: u64) -> Duration {
        let Some(nanoseconds) = (u128::from(sent) * 1_000_000_000).checked_div(self.rate.into())
        else {
            return Duration::ZERO;
        };
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let wait = due.saturating_sub(self.started.elapsed());
        if wait < Duration::from_millis(2) {
            Duration::ZERO
        } else {
            wait
        }
    }
}

/// Reports how many messages are acknowledged: a line a second on standard error and, for a program that
/// watches, a file that holds nothing but the newest count.
pub struct ProgressReport {
    started: Instant,
    count: u64,
    line_at: Instant,
    count_at_line: u64,
    file: Option<ProgressFile>,
}

struct ProgressFile {
    path: PathBuf,
    written_at: Option<Instant>,
}

impl ProgressReport {
    pub fn new(count: u64, file: Option<&Path>) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            count,
            line_at: now,
            count_at_line: 0,
            file: file.map(|path| ProgressFile {
                path: path.to_owned(),
                written_at: None,
            }),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Reports the count where a report is due.
    pub fn report(&mut self, acknowledged: u64) -> Result<()> {
        let is_old = |at: &Instant| at.elapsed() >= FILE_INTERVAL;
        if let Some(file) = &mut self.file
            && file.written_at.as_ref().is_none_or(is_old)
        {
            file.write(acknowledged)?;
        }
        let since = self.line_at.elapsed();
        if since >= LINE_INTERVAL {
            let rate = per_second(acknowledged - self.count_at_line, since.as_secs_f64());
            eprintln!(
                "load-generator: {} s: {acknowledged} of {} messages, {rate}/s",
                self.started.elapsed().as_secs(),
                self.count,
            );
            self.line_at = Instant::now();
            self.count_at_line = acknowledged;
        }
        Ok(())
    }

    /// Writes the last count to the file, whenever the file was last written.
    pub fn finish(&mut self, acknowledged: u64) -> Result<()> {
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write(acknowledged))
    }
}

impl ProgressFile {
    /// Replaces the file as a whole: a reader never sees half a number.
    fn write(&mut self, acknowledged: u64) -> Result<()> {
        let temporary = self.path.with_extension("new");
        fs::write(&temporary, format!("{acknowledged}\n"))?;
        fs::rename(&temporary, &self.path)?;
        self.written_at = Some(Instant::now());
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate that a person reads"
)]
pub fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)).round() as u64
}
