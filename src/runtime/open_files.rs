//! The system's limit for open files. The libraries panic when they can't open one, so it is checked before.

use std::fs;

use crate::failure::Failure;

/// Sockets, event descriptors and pipes of Kafka's and MongoDB's clients, of the metrics' server and of the log.
/// Every usual system allows many more.
pub const OPEN_FILES_NEEDED: u64 = 128;

/// Fails when this process may open too few files. If the limit can't be read, nothing is checked.
pub fn check_open_files() -> Result<(), Failure> {
    match open_files_limit() {
        Some(limit) if limit < OPEN_FILES_NEEDED => Err(Failure::running(format!(
            "this process may open {limit} files, and needs {OPEN_FILES_NEEDED}: raise the limit (`ulimit -n`)"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// How many files this process may open. `None` if there is no limit, or if it can't be read.
pub fn open_files_limit() -> Option<u64> {
    limit(&fs::read_to_string("/proc/self/limits").unwrap_or_default())
}

/// The soft limit of open files. `None` if there is none.
fn limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             7                    8                    processes \n\
                      Max open files            12                   4096                 files     \n";
        assert_eq!(limit(limits), Some(12));
        assert_eq!(
            limit("Max open files            unlimited  unlimited  files"),
            None
        );
        assert_eq!(limit(""), None);
    }
}
