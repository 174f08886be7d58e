//! The machine and the versions that were measured, for the record.

use std::fs;
use std::process::Command;
use std::thread;

use bson::doc;
use serde_json::{Value, json};

use crate::Result;
use crate::context::Context;

pub fn describe(context: &Context, kafka_version: &str) -> Result<Value> {
    let worker = Command::new(context.binary("kafka-mongo-consumer"))
        .arg("--version")
        .output()
        .map_err(|error| format!("the worker can't be started: {error}"))?;
    let admin = context.client.database("admin");
    let mongod = admin.run_command(doc! { "buildInfo": 1 }).run()?;
    let cores = thread::available_parallelism()?;
    Ok(json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "logical_cores": cores.get(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": major_and_minor(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
        "mongod": mongod.get_str("version")?,
        "kafka": kafka_version,
        "worker": String::from_utf8_lossy(&worker.stdout).trim(),
    }))
}

/// The value of the first line `name: value` in a file.
fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(
        || String::from("unknown"),
        |(_, value)| value.trim().to_owned(),
    )
}

/// `6.1` of a kernel `6.1.155-3-cloud`. The rest names a vendor's build, and isn't needed to compare measurements.
fn major_and_minor(release: &str) -> String {
    let mut numbers = release.trim().splitn(3, ['.', '-']);
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => String::from("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_by_its_major_and_minor_version() {
        for (release, expected) in [
            ("6.18.44-cloud\n", "6.18"),
            ("5.15-generic", "5.15"),
            ("", "unknown"),
        ] {
            assert_eq!(major_and_minor(release), expected, "{release}");
        }
    }
}
