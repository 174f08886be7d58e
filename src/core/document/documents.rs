//! The documents of one batch, all in one buffer.

use std::ops::Range;

use bson::RawDocument;

use super::rules::{MessageParts, MessageRules};
use super::{ReceivedAt, append_document};
use crate::core::rejection::Rejection;

/// Documents, found by the index of their record in the batch. One value serves many batches: `clear`
/// keeps the buffer.
#[derive(Debug, Default)]
pub struct Documents {
    buffer: Vec<u8>,
    /// The record's index in the batch, and the document's bytes in `buffer`. Ascending by index.
    entries: Vec<(usize, Range<usize>)>,
}

/// `clear` keeps at most this much capacity, so that one huge batch doesn't hold its memory for ever.
const KEPT_CAPACITY: usize = 1 << 20;

impl Documents {
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_CAPACITY);
        self.entries.clear();
    }

    /// Appends the document of the record at `index`. Each index must be greater than the one before. Fails
    /// if the record can't become a document.
    pub fn push(
        &mut self,
        index: usize,
        parts: &MessageParts<'_>,
        rules: &MessageRules,
        received_at: &ReceivedAt,
    ) -> Result<(), Rejection> {
        let start = self.buffer.len();
        append_document(parts, rules, received_at, &mut self.buffer)?;
        self.entries.push((index, start..self.buffer.len()));
        Ok(())
    }

    /// The indexes of the records that became documents, ascending.
    pub fn indexes(&self) -> impl Iterator<Item = usize> {
        self.entries.iter().map(|(index, _)| *index)
    }

    /// The documents of these records, in the order of `indexes`.
    pub fn get_all(&self, indexes: &[usize]) -> Vec<&RawDocument> {
        indexes.iter().map(|&index| self.get(index)).collect()
    }

    fn get(&self, index: usize) -> &RawDocument {
        let entry = self
            .entries
            .binary_search_by_key(&index, |(index, _)| *index)
            .expect("invariant: callers ask only for records that became documents");
        let bytes = &self.buffer[self.entries[entry].1.clone()];
        RawDocument::from_bytes(bytes).expect("invariant: the transcoder writes whole documents")
    }
}
