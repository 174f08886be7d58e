//! Message → document: one JSON message is checked and transcoded straight to raw BSON.
//!
//! Here live the rules of what a message must look like and how its values are stored. A message
//! that breaks one is refused with a [`Rejection`] whose text never quotes a value of the message.
//! No I/O, no clock, no logging, and nothing of how documents reach the server.
//!
//! ```text
//! payload ──► message ──► transcode ──► writer ──► raw BSON
//!                │            ├─ names     duplicates
//!                │            └─ literals  integers that arrive as doubles
//!                └─ created_at, on a refusal: syntax (is it JSON at all?), fault, path
//! ```

mod compare;
mod created_at;
mod documents;
mod fault;
mod literals;
mod message;
mod names;
mod path;
mod received_at;
mod syntax;
mod transcode;
mod writer;

#[cfg(test)]
mod tests;

use super::rejection::{Reason, Rejection};

pub use compare::is_same_document;
pub use documents::Documents;
pub use received_at::ReceivedAt;
pub use writer::MAX_DOCUMENT_BYTES;

/// Levels of objects and arrays that a document may have; the document itself is the first.
pub const MAX_LEVELS: u8 = 100;

/// Appends the BSON document of one message to `out`: `_id` (the `message_id`), every field as it
/// came, `received_at`.
///
/// # Errors
/// The one fault that the dead letter names. `out` then is as it was before. Of several faults, a
/// payload that isn't JSON comes first, then the first fault in the order of the payload, then the
/// required fields in the order `message_id`, `name`, `created_at`, `metadata`.
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
