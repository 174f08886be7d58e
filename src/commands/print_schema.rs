//! `print-schema`: the JSON Schema of the configuration file, for editors and for checks before a roll-out, and that of
//! `/status`, for programs that read it.

use super::output;
use crate::cli::SchemaOf;
use crate::config;
use crate::failure::Failure;
use crate::observe::status;

pub(super) fn print_schema(of: SchemaOf) -> Result<(), Failure> {
    let schema = match of {
        SchemaOf::Config => config::schema_text(),
        SchemaOf::Status => status::schema_text(),
    };
    output::print(schema.as_bytes())
}
