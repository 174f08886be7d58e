//! The keys that say what a message must be and where its id comes from, and the rules that follow from them.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::errors::quoted;
use crate::core::document::{IdSource, JsonSchema, MessageSchema};

const SPECIFICATION: &str = "specification";
const ANY: &str = "any";

const KEY: &str = "$key";
const POSITION: &str = "$position";

const EXPECTED_SCHEMA: &str = "`specification`, `any` or the path of a JSON Schema file";
const EXPECTED_ID: &str = "the name of a field (dots reach inside), `$key` or `$position`";

/// The file of the JSON Schema that `message.schema` names, if it names one.
pub(super) fn schema_file(schema: &str) -> Option<PathBuf> {
    let is_word = [SPECIFICATION, ANY].contains(&schema);
    (!is_word).then(|| PathBuf::from(schema))
}

/// The most bytes of a JSON Schema file.
const LONGEST_SCHEMA: u64 = 16 << 20;

pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^[^\x00]+$",
        "errorMessage": format!("expected {EXPECTED_SCHEMA}"),
    })
}

pub(super) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^(\$key|\$position|[^$.\x00][^.\x00]*(\.[^.\x00]+)*)$",
        // `received_at` is the worker's own field, and MongoDB takes no second `_id`. A URI stands under the wrong key.
        "not": {"pattern": r"^(received_at(\..*)?|_id\..*)$|://"},
        "errorMessage": format!("expected {EXPECTED_ID}"),
    })
}

/// Reads what `message.schema` names. The error says why that isn't possible.
pub(super) fn schema_of(text: &str) -> Result<MessageSchema, String> {
    match text {
        SPECIFICATION => Ok(MessageSchema::Specification),
        ANY => Ok(MessageSchema::Any),
        text if text.trim_start().starts_with('{') => Err(format!(
            "found a text that looks like a schema itself, expected {EXPECTED_SCHEMA}; a variable that ends with `_FILE` names a file \
             that holds such a path"
        )),
        path => {
            let shown = quoted(path);
            let text = read(path).map_err(|error| {
                format!("can't read the schema {shown}: {error}; expected {EXPECTED_SCHEMA}")
            })?;
            let compiled = JsonSchema::compile(&text);
            let compiled =
                compiled.map_err(|fault| format!("the schema {shown} can't be used: {fault}"));
            Ok(MessageSchema::JsonSchema(Box::new(compiled?)))
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_SCHEMA + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST_SCHEMA) {
        return Err(format!("it has more than {} MiB", LONGEST_SCHEMA >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// What `message.id` names. `topic` is the topic that is read.
pub(super) fn id_source_of(text: &str, topic: &str) -> IdSource {
    match text {
        KEY => IdSource::Key,
        POSITION => IdSource::Position {
            topic: topic.to_owned(),
        },
        path => IdSource::Field(path.split('.').map(str::to_owned).collect()),
    }
}
