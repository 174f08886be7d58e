//! Reads back what MongoDB holds under the `_id`s of documents, and compares. Stored documents are compared one by one
//! as they arrive: MongoDB sends at most about 16 MiB at once, so memory is bounded whatever their sizes are.

use std::time::Duration;

use bson::{Bson, RawDocument, doc};
use mongodb::error::Error;
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};

use super::MongoDbHandler;
use super::handler::QUERY_TIMEOUT;
use crate::core::document::{DocumentId, is_same_document};
use crate::core::write_plan::{StoredDocument, WriteError};

/// The most bytes of documents whose stored counterparts are read by one query; a larger document is read alone. Each
/// query has a time limit of its own. The `_id` is in a document twice, so the `_id`s of one query take at most half of
/// this, and the server takes a command of 16 MiB.
const PORTION_BYTES: usize = 16 << 20;

/// One writer at a time reads back, so that the memory for stored documents is needed only once. A query that takes
/// longer than this gets no answer any more, and then no memory either: the next one doesn't wait for it.
const TURN_LIMIT: Duration = QUERY_TIMEOUT.saturating_mul(2);

impl MongoDbHandler {
    /// Reads the documents with the `_id`s of `documents` from the primary, and compares them. Fails
    /// if the primary can't be read.
    pub fn read_back(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, WriteError> {
        let mut found = Vec::with_capacity(documents.len());
        for portion in portions(documents, PORTION_BYTES) {
            let of_portion = self.read_portion(portion);
            found.extend(of_portion.map_err(|error| self.write_error(&error))?);
        }
        Ok(found)
    }

    fn read_portion(&self, documents: &[&RawDocument]) -> Result<Vec<StoredDocument>, Error> {
        let mut comparison = Comparison::new(documents);
        let turn = self.read_back_turn.wait(TURN_LIMIT);
        let mut cursor = self
            .collection
            .find(doc! { "_id": { "$in": comparison.ids() } })
            // The primary, whatever the URI prefers: a secondary may not have a new document yet.
            .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
            // `local` also returns documents that a majority hasn't acknowledged yet.
            .read_concern(ReadConcern::local())
            .max_time(QUERY_TIMEOUT)
            .run()?;
        while cursor.advance()? {
            comparison.stored(cursor.current());
        }
        drop((cursor, turn));
        let Comparison {
            mut found,
            has_other_ids,
            ..
        } = comparison;
        let is_absent = |place: &usize| found[*place] == StoredDocument::Absent;
        let absent: Vec<usize> = (0..documents.len()).filter(is_absent).collect();
        match documents {
            _ if absent.is_empty() => {}
            // Under a collation a document that was found may have the `_id` of one of ours and count as equal to that
            // of another one. Only a query without those that were found tells.
            _ if absent.len() < documents.len() => {
                let rest: Vec<&RawDocument> =
                    absent.iter().map(|&place| documents[place]).collect();
                let found_of_rest = self.read_portion(&rest)?;
                for (place, found_of_one) in absent.into_iter().zip(found_of_rest) {
                    found[place] = found_of_one;
                }
            }
            _ if !has_other_ids => {}
            [_] => found[0] = StoredDocument::EqualId,
            // Which of them the other `_id`s are equal to is asked for each alone.
            _ => {
                for (place, found) in found.iter_mut().enumerate() {
                    *found = self.read_portion(&documents[place..=place])?[0];
                }
            }
        }
        Ok(found)
    }
}

/// Cuts `documents` into portions of at most `limit` bytes. A larger document is a portion of its own.
fn portions<'d, 'a>(
    documents: &'d [&'a RawDocument],
    limit: usize,
) -> impl Iterator<Item = &'d [&'a RawDocument]> {
    let mut rest = documents;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|document| {
            bytes += document.as_bytes().len();
            bytes <= limit
        });
        let count = fitting.count().max(1);
        let (portion, later) = rest.split_at_checked(count)?;
        rest = later;
        Some(portion)
    })
}

/// Compares documents of ours with the stored ones that have their `_id`s.
struct Comparison<'a> {
    documents: &'a [&'a RawDocument],
    /// The `_id`s and the places of their documents, sorted. An `_id` may occur more than once.
    places: Vec<(Option<DocumentId<&'a str>>, usize)>,
    /// For each document.
    found: Vec<StoredDocument>,
    /// A stored document has an `_id` that no document of ours has: MongoDB takes it for one of ours, by the collection's
    /// collation or as a number of a type that the worker doesn't write.
    has_other_ids: bool,
}

impl<'a> Comparison<'a> {
    fn new(documents: &'a [&'a RawDocument]) -> Self {
        let ids = documents.iter().map(|document| DocumentId::of(document));
        let mut places: Vec<_> = ids.zip(0..).collect();
        places.sort_unstable();
        Self {
            documents,
            places,
            found: vec![StoredDocument::Absent; documents.len()],
            has_other_ids: false,
        }
    }

    /// The `_id`s, each once.
    fn ids(&self) -> Vec<Bson> {
        let mut ids: Vec<_> = self
            .places
            .iter()
            .filter_map(|(id, _)| id.as_ref())
            .collect();
        ids.dedup();
        ids.into_iter().map(DocumentId::to_bson).collect()
    }

    /// Takes one stored document into account.
    fn stored(&mut self, stored: &RawDocument) {
        // An `_id` that the worker doesn't write belongs to another program's document.
        let id = DocumentId::of(stored);
        let first = self.places.partition_point(|(ours, _)| *ours < id);
        let of_id = self.places[first..]
            .iter()
            .take_while(|(ours, _)| id.is_some() && *ours == id);
        let mut is_ours = false;
        for &(_, place) in of_id {
            is_ours = true;
            self.found[place] = if is_same_document(stored, self.documents[place]) {
                StoredDocument::Same
            } else {
                StoredDocument::Different
            };
        }
        self.has_other_ids |= !is_ours;
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;

    fn documents(count: usize, padding: usize) -> Vec<RawDocumentBuf> {
        let document = |number| rawdoc! { "_id": format!("{number:04}"), "x": "x".repeat(padding) };
        (0..count).map(document).collect()
    }

    fn borrowed(documents: &[RawDocumentBuf]) -> Vec<&RawDocument> {
        documents.iter().map(AsRef::as_ref).collect()
    }

    #[test]
    fn portions_are_limited_in_bytes_and_keep_the_order() {
        let documents = documents(10, 1000);
        let documents = borrowed(&documents);
        let size = documents[0].as_bytes().len();
        for (limit, expected) in [
            (size * 10, vec![10]),
            (size * 10 - 1, vec![9, 1]),
            (size * 4, vec![4, 4, 2]),
            (size, vec![1; 10]),
            (1, vec![1; 10]),
        ] {
            let portions: Vec<_> = portions(&documents, limit).collect();
            let counts: Vec<usize> = portions.iter().map(|portion| portion.len()).collect();
            assert_eq!(counts, expected, "{limit}");
            assert_eq!(portions.concat(), documents);
        }
        assert_eq!(portions(&[], 1).count(), 0);
    }

    #[test]
    fn a_large_document_is_read_alone() {
        let mut all = documents(2, 10);
        all.extend(documents(1, 10_000));
        all.extend(documents(2, 10));
        let counts = portions(&borrowed(&all), 500)
            .map(<[_]>::len)
            .collect::<Vec<_>>();
        assert_eq!(counts, [2, 1, 2]);
    }

    #[test]
    fn each_document_is_compared_with_the_stored_one_of_its_id() {
        let ours = [
            rawdoc! { "_id": "b", "n": 1 },
            rawdoc! { "_id": "a", "n": 1 },
            rawdoc! { "_id": "b", "n": 2 },
            rawdoc! { "_id": "c", "n": 1 },
        ];
        let ours = borrowed(&ours);
        let mut comparison = Comparison::new(&ours);
        assert_eq!(comparison.ids(), ["a", "b", "c"].map(Bson::from));
        comparison.stored(&rawdoc! { "_id": "b", "n": 2 });
        comparison.stored(&rawdoc! { "_id": "a", "n": 1 });
        assert!(!comparison.has_other_ids);
        let expected = [
            StoredDocument::Different,
            StoredDocument::Same,
            StoredDocument::Same,
            StoredDocument::Absent,
        ];
        assert_eq!(comparison.found, expected);
        comparison.stored(&rawdoc! { "_id": "C", "n": 1 });
        assert!(comparison.has_other_ids);
        assert_eq!(comparison.found, expected);
    }
}
