//! The configuration is accepted, or each of its faults is one line.
//!
//! The input is the file and, after a NUL, the environment: a line is a variable without `CONSUMER__`, `=`, its value.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::config::{Config, keys, schema_text};
use libfuzzer_sys::fuzz_target;

/// The fixed part is the defaults and, for each key, a fault. Each byte may begin an unknown key, which costs a fault.
const BUDGET: Budget = Budget::of_memory(1 << 20, 1 << 10);

/// The longest line about a fault, in bytes. It may quote a path of the file, and a text of 80 characters.
const LONGEST_LINE: usize = 64 << 10;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    // What is made once isn't an input's cost.
    let _ = (keys(), schema_text());
    std::env::temp_dir().join(format!("fuzz-configuration-{}", std::process::id()))
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
