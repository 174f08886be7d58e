//! The configuration is accepted, or each of its faults is one line.
//!
//! The input is the file and, after a NUL, the environment: a line is a variable without `CONSUMER__`, `=`, its value.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::config::{Config, keys, schema_text};
use libfuzzer_sys::fuzz_target;

/// The fixed part is the defaults and, for each key, a fault. Every few bytes may be an unknown name, which costs a line,
/// and is compared with the name of every key and of every variable.
const BUDGET: Budget = Budget {
    memory: 1 << 20,
    memory_per_byte: 1 << 10,
    time: Duration::from_millis(200),
    time_per_byte: Duration::from_micros(300),
};

/// The longest line about a fault, in bytes. It may quote a path of the file, and a text of 80 characters.
const LONGEST_LINE: usize = 64 << 10;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    // What is made once isn't an input's cost.
    let _ = (keys(), schema_text());
    // In memory where that is possible.
    let in_memory = PathBuf::from("/dev/shm");
    let folder = if in_memory.is_dir() {
        in_memory
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("fuzz-configuration-{}", std::process::id()))
});

fuzz_target!(|input: &[u8]| {
    let (file, environment) = match input.iter().position(|&byte| byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let environment = String::from_utf8_lossy(environment);
    let variables = environment.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        // A variable that names a file would have this program read any file.
        (!name.ends_with("_FILE")).then(|| (format!("CONSUMER__{name}"), value))
    });
    fs::write(&*FILE, file).expect("the temporary folder can be written to");

    let loaded = BUDGET.check(input.len(), || Config::load(&FILE, variables));
    match loaded {
        Ok(config) => assert!(config.redacted_json().is_object()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for line in errors.lines() {
                assert!(!line.contains('\n'), "a fault is one line: {line:?}");
                assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
            }
        }
    }
});
