//! What the process itself needs of its host.

use super::checklist::{Checked, Checklist, Finding};
use crate::config::Config;
use crate::runtime::{OPEN_FILES_NEEDED, open_files_limit};
use crate::worker::{MemoryLimit, worst_case_memory};

pub(super) fn check(config: &Config, checklist: &mut Checklist) {
    checklist.add(Checked {
        name: "process.memory",
        finding: memory(worst_case_memory(config), MemoryLimit::find()),
    });
    // A process with too few is refused before any command runs.
    let limit = open_files_limit().map_or_else(|| "any number of".to_owned(), |n| n.to_string());
    checklist.add(Checked {
        name: "process.open_files",
        finding: Finding::Ok(format!(
            "it may open {limit} files, and needs {OPEN_FILES_NEEDED}"
        )),
    });
}

fn memory(worst: u64, limit: MemoryLimit) -> Finding {
    let mib = |bytes: u64| bytes >> 20;
    let found = match limit {
        MemoryLimit::Container(limit) => format!(
            "at most {} MiB, and the container may have {} MiB",
            mib(worst),
            mib(limit)
        ),
        MemoryLimit::Machine(memory) => format!(
            "at most {} MiB, and the machine has {} MiB",
            mib(worst),
            mib(memory)
        ),
        MemoryLimit::Unknown => format!("at most {} MiB", mib(worst)),
    };
    match limit.warning(worst) {
        None => Finding::Ok(found),
        Some(warning) => Finding::Warning(format!("{found}: {warning}")),
    }
}
