//! The write concern: its two keys, and the options of the MongoDB URI that mean the same.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::errors::{ConfigErrors, quoted};
use super::names::is_name_of_w;
use super::secret_uri::SecretUri;

pub(super) const W_PATH: &str = "mongodb.write_concern.w";
pub(super) const JOURNAL_PATH: &str = "mongodb.write_concern.journal";

/// A replica set has no more members than this.
const MOST_NODES: u32 = 50;

const EXPECTED_W: &str =
    "a whole number from 1 to 50, `majority` or the name of a custom write concern";

/// Why `w` may not be 0.
pub(super) const UNACKNOWLEDGED: &str = "found `0`, with which the server acknowledges nothing and \
     messages can be lost; expected at least `1`";

/// When an insert counts as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteConcern {
    /// The members that must have a write before its offset is committed; on a replica set, a write with `"majority"` survives a failover.
    #[schemars(schema_with = "schema_of_w", extend("default" = 1))]
    pub w: W,

    /// Whether a write must be in the journal; without it a crash of the server can lose stored messages.
    #[schemars(extend("default" = true))]
    pub journal: bool,
}

/// Which members must have a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum W {
    Majority,
    /// So many members, 1 to 50. With 1, the primary alone, a failover can lose writes.
    #[serde(untagged)]
    Nodes(u32),
    /// A custom write concern of the replica set, by its name.
    #[serde(untagged)]
    Tag(String),
}

fn schema_of_w(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": MOST_NODES,
        "format": "mongodb-write-concern",
        "errorMessage": format!("expected {EXPECTED_W}"),
    })
}

impl W {
    /// Reads `w` from an option of a URI.
    fn from_option(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            _ if text == "majority" => Ok(Self::Majority),
            _ if is_name_of_w(text) => Ok(Self::Tag(text.to_owned())),
            Ok(0) => Err(UNACKNOWLEDGED.to_owned()),
            Ok(nodes @ 1..=MOST_NODES) => Ok(Self::Nodes(nodes)),
            Ok(_) | Err(_) => Err(format!("found {}, expected {EXPECTED_W}", quoted(text))),
        }
    }
}

/// As in the file.
impl fmt::Display for W {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => nodes.fmt(f),
            Self::Majority => f.write_str("majority"),
            Self::Tag(tag) => f.write_str(tag),
        }
    }
}

impl WriteConcern {
    /// Takes over the write concern of the URI. The URI and the keys may each give a part of it, but they must not
    /// contradict each other. `is_given` tells whether a key has a value of its own instead of its default.
    pub(super) fn merge_uri(
        &mut self,
        uri: &SecretUri,
        is_given: impl Fn(&str) -> bool,
        errors: &mut ConfigErrors,
    ) {
        for (name, value) in uri.options() {
            match (name.as_str(), value.as_str()) {
                ("w", text) => match W::from_option(text) {
                    Ok(of_uri) if of_uri == self.w => {}
                    Ok(_) if is_given(W_PATH) => contradict(W_PATH, &self.w, &name, text, errors),
                    Ok(of_uri) => self.w = of_uri,
                    Err(fault) => errors.add("`mongodb.uri` `w`", fault),
                },
                ("journal", "true" | "false") => {
                    if value == self.journal.to_string() {
                        continue;
                    }
                    if is_given(JOURNAL_PATH) {
                        contradict(JOURNAL_PATH, self.journal, &name, &value, errors);
                    } else {
                        let fault = format!(
                            "found `false`, with which a crash of the server can lose acknowledged \
                             writes; remove it, or accept that by `{JOURNAL_PATH}` set to `false`"
                        );
                        errors.add(format!("`mongodb.uri` `{name}`"), fault);
                    }
                }
                ("journal", text) => {
                    let fault = format!("found {}, expected `true` or `false`", quoted(text));
                    errors.add(format!("`mongodb.uri` `{name}`"), fault);
                }
                _ => {}
            }
        }
    }
}

fn contradict(
    path: &str,
    value: impl fmt::Display,
    option: &str,
    of_uri: &str,
    errors: &mut ConfigErrors,
) {
    let fault = format!(
        "found `{value}`, but `mongodb.uri` says `{option}` is {}; remove one of the two",
        quoted(of_uri)
    );
    errors.add(format!("`{path}`"), fault);
}
