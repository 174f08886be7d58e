//! `check` and `print-config`: print the configuration in effect. Faults of the configuration were reported when it was
//! loaded.

use std::io::{self, Write};

use super::output;
use crate::config::Config;
use crate::failure::Failure;

pub(super) fn check(config: &Config) -> Result<(), Failure> {
    for warning in config.warnings() {
        // If standard error is closed, there is nowhere to report it.
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    print_config(config)
}

pub(super) fn print_config(config: &Config) -> Result<(), Failure> {
    let effective = serde_json::to_string_pretty(&config.redacted_json())
        .map_err(|error| Failure::running(error.to_string()))?;
    output::print(format!("{effective}\n").as_bytes())
}
