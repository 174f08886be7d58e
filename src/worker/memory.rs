//! The most memory that the process can take under its configuration, compared with the container's limit.

use std::fs;

use log::{info, warn};

use crate::config::Config;
use crate::kafka::prefetch_bytes;

/// The program, its libraries and threads, with empty queues.
const BASE: u64 = 40 << 20;
/// A writer that reads back duplicates gets up to 16 MiB of stored documents at once, whatever their sizes are: in the
/// server's reply, and in the driver's copies of its documents.
const READ_BACK: u64 = 2 * (16 << 20);
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
    let writers = u64::try_from(config.consumer.writer_threads).unwrap_or(u64::MAX);
    BASE.saturating_add(prefetch_bytes(config))
        .saturating_add(copies)
        .saturating_add(writers.saturating_mul(READ_BACK))
}

/// Logs the worst case, and warns where the container allows less.
pub fn report(config: &Config) {
    let worst = worst_case(config);
    let limit = LIMIT_FILES
        .iter()
        .find_map(|file| limit_of(&fs::read_to_string(file).ok()?));
    info!(mib = worst >> 20, limit_mib = limit.map(|limit| limit >> 20); "memory in the worst case");
    if limit.is_some_and(|limit| limit < worst) {
        warn!(
            "the container allows less memory than this configuration may take: lower \
               `consumer.max_in_flight_bytes` or `consumer.writer_threads`, or allow more"
        );
    }
}

/// Where there is no limit, cgroups version 2 says "max", and version 1 gives a huge number.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < 1 << 60)
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
}
