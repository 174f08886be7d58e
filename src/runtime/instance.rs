//! The name of this process, for everybody who tells several workers apart.

use std::{fs, process};

/// The host's name and the process id.
pub fn instance() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}-{}",
        if host.is_empty() { "unknown" } else { host },
        process::id()
    )
}
