//! The configuration: `config.json`, environment variables over it, and what they come to.
//!
//! [`Config::load`] reads everything, and either returns values that nothing needs to check again, or
//! every fault at once. [`keys`] is the table of all keys. Knows nothing of the rest of the crate.

mod assemble;
mod effective;
mod environment;
mod errors;
mod json;
mod keys;
mod kind;
mod masking;
mod model;
mod names;
mod properties;
mod secret_uri;
mod suggest;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

pub use errors::ConfigErrors;
pub use keys::{Fallback, Key, keys};
pub use kind::Kind;
pub use model::{
    AutoOffsetReset, Config, Consumer, DeadLetterOversize, Kafka, LogFormat, Logging, Metrics,
    Mongodb, OnUnavailable, W, WriteConcern,
};
pub use secret_uri::SecretUri;

use errors::quoted;
use json::Node;
use values::Values;

impl Config {
    /// Reads the file, and over it the environment: pairs of a variable's name and value, such as
    /// `std::env::vars_os()`. Variables that don't begin with `CONSUMER__` are ignored.
    ///
    /// # Errors
    /// Every fault of the file and of the environment, not the first alone.
    pub fn load<K, V>(
        path: &Path,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigErrors>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut errors = ConfigErrors::default();
        let shown = quoted(&path.to_string_lossy());
        let bytes = fs::read(path)
            .map_err(|error| {
                let fault = format!("can't read the configuration: {error}; name it by `--config`");
                errors.add(&shown, fault);
            })
            .ok();
        Self::from_bytes(&shown, bytes, environment, errors)
    }

    /// As [`Self::load`], of a file's bytes, or `None` if it can't be read. `shown` stands for the file
    /// in errors.
    fn from_bytes<K, V>(
        shown: &str,
        bytes: Option<Vec<u8>>,
        environment: impl IntoIterator<Item = (K, V)>,
        mut errors: ConfigErrors,
    ) -> Result<Self, ConfigErrors>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let file = bytes.and_then(|bytes| {
            sections(bytes)
                .map_err(|fault| errors.add(shown, fault))
                .ok()
        });
        let overrides = environment::overrides(environment, &mut errors);
        // Without the file, what it leaves out can't be told from what it says.
        let Some(file) = file else {
            return Err(errors);
        };
        let values = Values::collect(file, overrides, &mut errors);
        match assemble::assemble(&values, &mut errors) {
            Some(config) => Ok(config),
            None => Err(errors),
        }
    }
}

/// What the outermost object of the file holds.
fn sections(bytes: Vec<u8>) -> Result<Vec<(String, Node)>, String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("not UTF-8 from byte {place} on; save it as UTF-8")
    })?;
    // Editors on Windows put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match Node::parse(text) {
        Ok(Node::Object(entries)) => Ok(entries),
        Ok(other) => Err(format!(
            "found {}, expected an object of sections",
            other.type_name()
        )),
        Err(error) => Err(format!(
            "no valid JSON at line {}, column {}: {}",
            error.line, error.column, error.message
        )),
    }
}
