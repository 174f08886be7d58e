//! The most memory that the process can take under its configuration, compared with what it may have.

use std::fs;
use std::path::{Path, PathBuf};

use log::{info, warn};

use crate::config::Config;
use crate::kafka::prefetch_bytes;

/// The file that holds the machine's memory.
const MACHINE_FILE: &str = "/proc/meminfo";

/// The program, its libraries and threads, with empty queues.
const BASE: u64 = 40 << 20;
/// Reading back duplicates brings up to 16 MiB of stored documents at once, whatever their sizes are: in the server's
/// reply, and in the driver's copies of its documents. One writer at a time does it.
const READ_BACK: u64 = 2 * (16 << 20);
/// The most bytes of dead letters of an outage in flight; a larger one goes alone.
pub(super) const REPLAY_IN_FLIGHT: usize = 2 << 20;
/// What the consumer of these letters prefetches, in bytes.
pub(super) const REPLAY_PREFETCH: usize = 1 << 20;
/// That consumer and its threads, with empty queues.
const REPLAY_BASE: u64 = 3 << 20;
/// While a record is in flight, there is a copy of it in its batch and in its document, and two in the driver's
/// command.
const COPIES_IN_FLIGHT: u64 = 4;

/// A JSON Schema with `uniqueItems` keeps 16 bytes for each item of an array, which has at least ten in its document. One
/// message of each writer is checked at once.
const COPIES_FOR_A_SCHEMA: u64 = 2;

/// The file that names the cgroups of this process.
const CGROUPS_FILE: &str = "/proc/self/cgroup";
/// Where cgroups are, and the file of each that holds its memory limit: version 2, then version 1.
const V2: (&str, &str) = ("/sys/fs/cgroup", "memory.max");
const V1: (&str, &str) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");

/// The memory in the worst case, in bytes.
pub fn worst_case(config: &Config) -> u64 {
    let in_flight = u64::try_from(config.consumer.max_in_flight_bytes).unwrap_or(u64::MAX);
    // A dead letter is in flight until it is acknowledged: the producer holds one more copy.
    let mut copies = COPIES_IN_FLIGHT + 1;
    if config.message.rules.has_json_schema() {
        copies += COPIES_FOR_A_SCHEMA;
    }
    let copies = in_flight.saturating_mul(copies);
    BASE.saturating_add(prefetch_bytes(config))
        .saturating_add(copies)
        .saturating_add(READ_BACK)
        .saturating_add(replay_after_outage(config))
}

/// What the second pipeline of `mongodb.replay_after_outage` takes in the worst case, in bytes.
fn replay_after_outage(config: &Config) -> u64 {
    if !config.mongodb.replay_after_outage {
        return 0;
    }
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    bytes(REPLAY_IN_FLIGHT) * (COPIES_IN_FLIGHT + 1) + bytes(REPLAY_PREFETCH) + REPLAY_BASE
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
        let cgroups = fs::read_to_string(CGROUPS_FILE).unwrap_or_default();
        let container = limit_files(&cgroups)
            .iter()
            .filter_map(|file| limit_of(&fs::read_to_string(file).ok()?))
            .min();
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

/// The files that may limit the memory of a process in these cgroups: those of its own cgroup, of the ones around it, and
/// of the root, which is all that a container sees of its own.
fn limit_files(cgroups: &str) -> Vec<PathBuf> {
    let mut files = vec![Path::new(V2.0).join(V2.1), Path::new(V1.0).join(V1.1)];
    for line in cgroups.lines() {
        // NUMBER:CONTROLLERS:PATH
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => V2,
            list if list.split(',').any(|name| name == "memory") => V1,
            _ => continue,
        };
        let cgroups = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(cgroups.map(|cgroup| Path::new(root).join(cgroup).join(file)));
    }
    files
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
    fn the_limits_of_a_service_and_of_what_is_around_it_count() {
        let files = limit_files("0::/system.slice/worker.service\n");
        for file in [
            "/sys/fs/cgroup/system.slice/worker.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ] {
            assert!(files.contains(&PathBuf::from(file)), "{file}: {files:?}");
        }
        let files = limit_files("5:cpu,cpuacct:/a\n4:memory:/docker/b\nnonsense\n");
        let of_the_container = "/sys/fs/cgroup/memory/docker/b/memory.limit_in_bytes";
        assert!(
            files.contains(&PathBuf::from(of_the_container)),
            "{files:?}"
        );
        assert!(files.iter().all(|file| !file.ends_with("a/memory.max")));
    }

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
