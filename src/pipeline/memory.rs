//! The most memory that the configuration lets the process take, against the container's limit.

use std::fs;

use log::{info, warn};

use crate::config::Config;
use crate::kafka::PREFETCH_KIB;

/// The program, its libraries and threads, with empty queues.
const BASE: u64 = 40 << 20;
/// In flight, a record stands in its batch, in its document, and twice in the driver's command.
const COPIES_IN_FLIGHT: u64 = 4;

/// Where a container's limit stands: the second version of cgroups, then the first.
const LIMIT_FILES: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Bytes in the worst case.
#[must_use]
pub fn worst_case(config: &Config) -> u64 {
    let prefetch = config
        .kafka
        .consumer_properties
        .get("queued.max.messages.kbytes")
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(PREFETCH_KIB)
        .saturating_mul(1024);
    let in_flight = u64::try_from(config.consumer.max_in_flight_bytes).unwrap_or(u64::MAX);
    // Dead letters under way are in flight too: the producer holds one more copy.
    let copies = in_flight.saturating_mul(COPIES_IN_FLIGHT + 1);
    BASE.saturating_add(prefetch).saturating_add(copies)
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
               `consumer.max_in_flight_bytes`, or allow more"
        );
    }
}

/// "max" and the first version's huge number mean that there is none.
fn limit_of(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_both_forms() {
        assert_eq!(limit_of("268435456\n"), Some(268_435_456));
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("9223372036854771712\n"), None);
        assert_eq!(limit_of(""), None);
    }
}
