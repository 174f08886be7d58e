//! `print-schema`: the JSON Schema of the configuration file, for editors and for checks before a roll-out.

use super::output;
use crate::config;
use crate::failure::Failure;

pub(super) fn print_schema() -> Result<(), Failure> {
    output::print(config::schema_text().as_bytes())
}
