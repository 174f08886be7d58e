//! Turns a message into a document: checks one JSON message and transcodes it directly to raw BSON.
//!
//! This module has the rules that a message must meet, and decides how its values are stored. A message
//! that breaks a rule is refused with a [`Rejection`], whose text never quotes a value of the message.
//! No I/O, no clock, no logging; this module doesn't know how documents reach the server.
//!
//! ```text
//! payload ──► message ──► transcode ──► bson_writer ──► raw BSON
//!                │            ├─ field_names      finds duplicate names
//!                │            └─ number_literals  finds integers that the parser rounded to doubles
//!                └─ required, created_at; after a refusal: syntax (is it valid JSON?), fault, field_path, foreign
//! ```
//!
//! Under rules of the operator's own (`rules`), `own_message` takes the place of `message`, and `json_schema` checks the
//! document: `schema_value` and `schema_containers` show it to jsonschema, and `elements` walks through it.

mod bson_writer;
mod compare;
mod created_at;
mod document_id;
mod documents;
mod elements;
mod fault;
mod field_names;
mod field_path;
mod foreign;
mod json_schema;
mod limits;
mod message;
mod number_literals;
mod own_message;
mod received_at;
mod required;
mod rules;
mod schema_containers;
mod schema_value;
mod syntax;
mod transcode;

#[cfg(test)]
mod tests;

use rules::Way;

use super::rejection::{Reason, Rejection};

pub use compare::is_same_document;
pub use document_id::DocumentId;
pub use documents::Documents;
pub use json_schema::JsonSchema;
pub use limits::MAX_LEVELS;
pub use received_at::ReceivedAt;
pub use rules::{IdSource, MessageParts, MessageRules, MessageSchema};

/// Appends the BSON document of one message to `out`: `_id` (by default the `message_id`), every field of the message
/// unchanged and in its order, then `received_at`. Returns the one fault that the dead letter names, and
/// leaves `out` unchanged. If there are several faults, the order is: a payload that isn't valid JSON; then
/// the first fault in the order of the payload; then the id; then the required fields in the order `message_id`, `name`,
/// `created_at`, `metadata`, or the operator's JSON Schema.
pub fn append_document(
    parts: &MessageParts<'_>,
    rules: &MessageRules,
    received_at: &ReceivedAt,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let payload = match parts.value {
        None => {
            return Err(Rejection::new(
                Reason::EmptyPayload,
                "the message has no value (a tombstone)",
            ));
        }
        Some([]) => {
            return Err(Rejection::new(
                Reason::EmptyPayload,
                "the message's value is empty (0 bytes)",
            ));
        }
        Some(payload) => payload,
    };
    let text = std::str::from_utf8(payload)
        .map_err(|error| foreign::with_hint(syntax::not_utf8(&error), payload))?;
    let start = out.len();
    let appended = match rules.way() {
        Way::Specification => message::append(text, received_at, out),
        Way::Own(schema, id) => own_message::append(text, parts, schema, id, received_at, out),
    };
    appended.map_err(|rejection| {
        out.truncate(start);
        foreign::with_hint(rejection, payload)
    })
}
