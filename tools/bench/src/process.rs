//! A process that is measured from outside, by the kernel's counters.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::pause;
use crate::statistics::float;

/// The longest time that a stop may take. It is longer than every system's own limit.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// A running system. The drop kills it, unless it was stopped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// How a process ended after SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    InTime,
    /// It had to be killed.
    Killed,
}

impl Process {
    /// Starts `command` with its output in the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("could not start {name}: {error}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let Self { name, log, .. } = self;
                Err(format!("{name} ended ({status}); its log: {}", log.display()).into())
            }
        }
    }

    /// User and system time so far, of all its threads.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        parse_cpu(&stat).ok_or_else(|| format!("can't read the CPU time in `{stat}`").into())
    }

    /// The highest resident memory so far.
    pub fn peak_rss_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = parse_peak_rss_kib(&status).ok_or("no VmHWM in /proc/PID/status")?;
        Ok(float(kib) / 1024.0)
    }

    /// Sends SIGTERM without waiting for the end.
    pub fn terminate(&self) -> Result<()> {
        let command = format!("kill -s TERM {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("could not stop {}", self.name).into())
        }
    }

    /// Waits for the end after `terminate`, and kills the process if that takes too long.
    pub fn await_end(mut self) -> Result<Stop> {
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(Stop::InTime);
            }
            pause(Duration::from_millis(10));
        }
        eprintln!("bench: {} did not end on SIGTERM; killing it", self.name);
        Ok(Stop::Killed)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fields 14 and 15 are user and system time in ticks of 10 ms. The second field is the name in parentheses,
/// which may contain anything.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn parse_peak_rss_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_after_a_name_with_parentheses() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 120 34 0 0 20 0 9 0 100";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1540)));
    }

    #[test]
    fn peak_memory_is_read_in_kib() {
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(parse_peak_rss_kib(status), Some(20480));
    }
}
