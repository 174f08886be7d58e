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
//!                └─ created_at; after a refusal: syntax (is it valid JSON?), fault, field_path
//! ```

mod bson_writer;
mod compare;
mod created_at;
mod documents;
mod fault;
mod field_names;
mod field_path;
mod limits;
mod message;
mod number_literals;
mod received_at;
mod syntax;
mod transcode;

#[cfg(test)]
mod tests;

use super::rejection::{Reason, Rejection};

pub use compare::is_same_document;
pub use documents::Documents;
pub use limits::MAX_LEVELS;
pub use received_at::ReceivedAt;

/// Appends the BSON document of one message to `out`: `_id` (the `message_id`), every field of the message
/// unchanged and in its order, then `received_at`. Returns the one fault that the dead letter names, and
/// leaves `out` unchanged. If there are several faults, the order is: a payload that isn't valid JSON; then
/// the first fault in the order of the payload; then the required fields in the order `message_id`, `name`,
/// `created_at`, `metadata`.
pub fn append_document(
    value: Option<&[u8]>,
    received_at: &ReceivedAt,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let payload = match value {
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
    let text = std::str::from_utf8(payload).map_err(|error| syntax::not_utf8(&error))?;
    let start = out.len();
    let appended = message::append(text, received_at, out);
    if appended.is_err() {
        out.truncate(start);
    }
    appended
}
