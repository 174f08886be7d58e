//! The limits that every document keeps.

/// Levels of objects and arrays that a document may have; the document itself is the first.
pub const MAX_LEVELS: u8 = 100;

/// The server's `maxBsonObjectSize`.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
