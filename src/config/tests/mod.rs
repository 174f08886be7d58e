//! Tests of the configuration as a whole: from texts to values, or to the error messages that an operator sees.

mod faults;
mod loading;
mod messages;
mod schema;
mod secrets;
mod sources;

use serde_json::{Value, json};

use super::{Config, ConfigErrors};

/// The smallest valid file.
pub(super) const MINIMAL: &str = r#"{"kafka": {"bootstrap_servers": "kafka:9092"}, "mongodb": {"uri": "mongodb://mongodb:27017"}}"#;

/// Loads a file of this text, which errors call `FILE`; the faults line by line.
pub(super) fn load(text: impl AsRef<[u8]>, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let bytes = Some(text.as_ref().to_vec());
    let env = env.iter().copied();
    Config::from_bytes("FILE", bytes, env, ConfigErrors::default()).map_err(|errors| {
        let lines: Vec<String> = errors.lines().map(str::to_owned).collect();
        assert!(!lines.is_empty(), "a refusal without a reason");
        assert_eq!(errors.to_string().lines().count(), lines.len());
        lines
    })
}

/// The minimal file with these values in it; a path's parts are joined by dots.
pub(super) fn file_with(values: &[(&str, Value)]) -> String {
    let mut file: Value = serde_json::from_str(MINIMAL).unwrap();
    for (path, value) in values {
        let mut node = &mut file;
        for part in path.split('.') {
            if !node.is_object() {
                *node = json!({});
            }
            node = &mut node[part];
        }
        *node = value.clone();
    }
    file.to_string()
}
