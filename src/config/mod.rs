//! The configuration: `config.json`, overridden by environment variables.
//!
//! [`Config::load`] reads everything, and either returns values that nothing needs to check again, or
//! every fault at once. A key is declared once, in `model.rs`. Of the rest of the crate, this module imports only the rules for
//! messages, which are pure.

mod credential_files;
mod environment;
mod errors;
mod indexes;
mod json;
mod layer;
mod masking;
mod message;
mod model;
mod names;
mod properties;
mod ratio;
mod rules;
mod schema;
mod secret_uri;
mod serial;
mod suggest;
#[cfg(test)]
mod tests;
mod warnings;
mod write_concern;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde_json::Value;

pub use errors::ConfigErrors;
pub use indexes::Index;
pub use masking::is_harmless;
pub use model::{
    AutoOffsetReset, Config, Consumer, Control, DeadLetterOversize, Kafka, LogFormat, Logging,
    Message, Metrics, Mongodb, OnFlood, OnUnavailable,
};
pub use ratio::Ratio;
pub use schema::{Key, keys, schema_text};
pub use secret_uri::SecretUri;
pub use write_concern::{W, WriteConcern};

use errors::quoted;
use layer::{Faulty, Layer, entry};
use schema::SCHEMA_KEY;

impl Config {
    /// Reads the file, and over it the environment: pairs of a variable's name and value, such as
    /// `std::env::vars_os()`. Variables that don't begin with `CONSUMER__` are ignored.
    /// Fails with every fault of the file and of the environment, not the first alone.
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
                let fault =
                    format!("can't read the configuration: {error}; give its path by `--config`");
                errors.add(&shown, fault);
            })
            .ok();
        Self::from_bytes(&shown, bytes, environment, errors)
    }

    /// The same for the bytes of a file, or `None` if the file could not be read. Errors call the file `shown`.
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
            layer_of(bytes)
                .map_err(|fault| errors.add(shown, fault))
                .ok()
        });
        let mut faulty = Faulty::default();
        let environment = environment::read(environment, &mut faulty, &mut errors);
        // Without the file it isn't known which keys are missing.
        let Some(file) = file else {
            return Err(errors);
        };
        let mut values = file.checked(&mut faulty, &mut errors);
        if let Some(sections) = values.as_object_mut() {
            // For editors.
            sections.shift_remove(SCHEMA_KEY);
        }
        put_over(&mut values, environment.checked(&mut faulty, &mut errors));
        let given = values.clone();
        fill_in(&mut values, &mut faulty, &mut errors);
        let Ok(mut config) = serde_json::from_value::<Self>(values) else {
            // serde's own message isn't used, because it quotes values.
            errors.add(shown, "a value is valid by the schema, but can't be read");
            return Err(errors);
        };
        rules::apply(&mut config, &given, &faulty, &mut errors);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// The effective configuration in the form of the file, with defaults filled in and secrets masked.
    /// `kafka.properties` is empty in it: its entries are in `kafka.consumer_properties` and
    /// `kafka.producer_properties`.
    pub fn redacted_json(&self) -> Value {
        serde_json::to_value(self).expect("invariant: its keys are texts")
    }
}

/// The values of the file. The error says why they can't be read.
fn layer_of(bytes: Vec<u8>) -> Result<Layer, String> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("not UTF-8 from byte {place} on; save it as UTF-8")
    })?;
    // Editors on Windows put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match json::parse(text) {
        Ok((Value::Object(sections), repeated)) => Ok(Layer::new(sections, repeated)),
        Ok((other, _)) => Err(format!(
            "found {}, expected an object of sections",
            json::type_name(&other)
        )),
        Err(error) => Err(format!(
            "not valid JSON at line {}, column {}: {}",
            error.line, error.column, error.message
        )),
    }
}

/// Puts the values of `over` over those of `base`, object by object.
fn put_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                put_over(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Gives every key without a value its default. A key without a default is reported as missing, unless its value was
/// refused before. It gets an example as its value, so that the rules about the other keys can still be checked.
fn fill_in(values: &mut Value, faulty: &mut Faulty, errors: &mut ConfigErrors) {
    for key in keys() {
        let value = entry(values, &key.path);
        if !value.is_null() {
            continue;
        }
        *value = key.stand_in().cloned().unwrap_or_default();
        if key.default().is_some() || faulty.contains(&key.path) {
            continue;
        }
        let by_file = key
            .env_file_name()
            .map(|name| format!(", or `{name}` to a file that holds it"))
            .unwrap_or_default();
        let fault = format!(
            "missing, expected {}; put it into the file, or set `{}` to it{by_file}",
            key.expected(),
            key.env_name()
        );
        errors.add(format!("`{}`", key.path), fault);
        faulty.add(&key.path);
    }
}
