//! The documents of one batch, in one buffer.

use std::ops::Range;

use bson::RawDocument;

use super::{ReceivedAt, append_document};
use crate::core::rejection::Rejection;

/// Documents by the index of their record in the batch; used again for the next batch.
#[derive(Debug, Default)]
pub struct Documents {
    buffer: Vec<u8>,
    /// Ascending by index.
    places: Vec<(usize, Range<usize>)>,
}

/// A buffer that one huge batch has grown is let go of beyond this.
const KEPT_CAPACITY: usize = 1 << 20;

impl Documents {
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_CAPACITY);
        self.places.clear();
    }

    /// Makes the document of the record at `index`, greater than those before it.
    ///
    /// # Errors
    /// Why it can't be made.
    pub fn push(
        &mut self,
        index: usize,
        value: Option<&[u8]>,
        received_at: &ReceivedAt,
    ) -> Result<(), Rejection> {
        let start = self.buffer.len();
        append_document(value, received_at, &mut self.buffer)?;
        self.places.push((index, start..self.buffer.len()));
        Ok(())
    }

    /// The indexes of the records that became documents, ascending.
    pub fn indexes(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|(index, _)| *index)
    }

    /// The documents of these records, in their order.
    #[must_use]
    pub fn get_all(&self, indexes: &[usize]) -> Vec<&RawDocument> {
        indexes.iter().map(|&index| self.get(index)).collect()
    }

    fn get(&self, index: usize) -> &RawDocument {
        let place = self
            .places
            .binary_search_by_key(&index, |(index, _)| *index)
            .expect("invariant: only records that became documents are asked for");
        let bytes = &self.buffer[self.places[place].1.clone()];
        RawDocument::from_bytes(bytes).expect("invariant: the transcoder writes whole documents")
    }
}
