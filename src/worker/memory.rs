//! The most memory that the process can take under its configuration, compared with what it may have.

use std::fs;

use log::{info, warn};

use crate::config::Config;
use crate::kafka::prefetch_bytes;

/// The file that holds the machine's memory.
const MACHINE_FILE: &str = "/proc/meminfo";

/// The program, its libraries and threads, with empty queues.
const BASE: u64 = 40 << 20;
/// While a record is in flight, there is a copy of it in its batch and in its document, and two in the driver's
/// command.
const COPIES_IN_FLIGHT: u64 = 4;

/// The files that hold a container's memory limit: for cgroups version 2, then for version 1.
const LIMIT_FILES: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// The memory in the worst case, in bytes.
pub fn worst_case(config: &Config) -> u64 {
    let in_flight = u64::try_from(config.consumer.max_in_flight_bytes).unwrap_or(u64::MAX);
    // A dead letter is in flight until it is acknowledged: the producer holds one more copy.
    let copies = in_flight.saturating_mul(COPIES_IN_FLIGHT + 1);
    BASE.saturating_add(prefetch_bytes(config))
        .saturating_add(copies)
}

/// How much memory the process can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// The limit of the container.
    Container(u64),
    /// The whole memory of the machine.
    Machine(u64),
    Unknown,
}

impl MemoryLimit {
    pub fn find() -> Self {
        let container = LIMIT_FILES
            .iter()
            .find_map(|file| limit_of(&fs::read_to_string(file).ok()?));
        let machine = || machine_memory(&fs::read_to_string(MACHINE_FILE).ok()?);
        match (container, machine()) {
            // A limit above the machine's memory limits nothing.
            (Some(limit), machine) if machine.is_none_or(|machine| limit <= machine) => {
                Self::Container(limit)
            }
            (_, Some(machine)) => Self::Machine(machine),
            (_, None) => Self::Unknown,
        }
    }

    /// What the container allows, in bytes.
    pub fn container(self) -> Option<u64> {
        match self {
            Self::Container(bytes) => Some(bytes),
            Self::Machine(_) | Self::Unknown => None,
        }
    }

    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Container(bytes) | Self::Machine(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    /// What an operator should know if the process may need `worst` bytes. `None` if there is enough.
    pub fn warning(self, worst: u64) -> Option<&'static str> {
        match self {
            Self::Container(limit) if limit < worst => Some(
                "the container allows less memory than this configuration may take: lower \
                 `consumer.max_in_flight_bytes`, or allow more",
            ),
            Self::Machine(memory) if memory < worst => Some(
                "the machine has less memory than this configuration may take: lower \
                 `consumer.max_in_flight_bytes`",
            ),
            Self::Container(_) | Self::Machine(_) | Self::Unknown => None,
        }
    }
}

/// Logs the worst case, and warns where there is less memory.
pub fn report(config: &Config) {
    let worst = worst_case(config);
    let limit = MemoryLimit::find();
    let limit_mib = limit.bytes().map(|limit| limit >> 20);
    info!(mib = worst >> 20, limit_mib; "memory in the worst case");
    if let Some(warning) = limit.warning(worst) {
        warn!("{warning}");
    }
}

/// Where there is no limit, cgroups version 2 says "max", and version 1 gives a huge number.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < 1 << 60)
}

/// The machine's memory in bytes. Linux writes it in units of 1024 bytes.
fn machine_memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_both_versions_of_cgroups() {
        assert_eq!(limit_of("268435456\n"), Some(268_435_456));
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("9223372036854771712\n"), None);
        assert_eq!(limit_of(""), None);
    }

    #[test]
    fn the_machines_memory_is_read() {
        let text = "MemTotal:        4030464 kB\nMemFree:          123 kB\n";
        assert_eq!(machine_memory(text), Some(4_030_464 * 1024));
        assert_eq!(machine_memory(""), None);
    }

    #[test]
    fn less_memory_than_the_worst_case_is_a_warning() {
        for (limit, is_warned) in [
            (MemoryLimit::Container(99), true),
            (MemoryLimit::Container(100), false),
            (MemoryLimit::Machine(99), true),
            (MemoryLimit::Unknown, false),
        ] {
            assert_eq!(limit.warning(100).is_some(), is_warned, "{limit:?}");
        }
    }
}
