//! Compares a stored document with the document that a message would become.

use bson::RawDocument;

use super::message::RECEIVED_AT;

/// Whether two documents have the same fields in the same order with byte-identical values. The
/// top-level `received_at` is ignored.
pub fn is_same_document(one: &RawDocument, other: &RawDocument) -> bool {
    match (comparable_elements(one), comparable_elements(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The bytes of each element but `received_at`; `None` if the document is not well-formed.
fn comparable_elements(document: &RawDocument) -> Option<Vec<&[u8]>> {
    let bytes = document.as_bytes();
    // A document begins with its length (4 bytes).
    let mut start = 4;
    let mut elements = Vec::new();
    for element in document.iter_elements() {
        let element = element.ok()?;
        let key = element.key().as_str();
        // An element is one byte for the type, the key, a NUL, and the value.
        let end = start + 1 + key.len() + 1 + element.size();
        if key != RECEIVED_AT {
            elements.push(bytes.get(start..end)?);
        }
        start = end;
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn comparison_ignores_received_at_and_nothing_else() {
        let stored = rawdoc! { "_id": "a", "n": 1, "m": { "x": [1, 2] }, "received_at": "then" };
        let again =
            rawdoc! { "_id": "a", "n": 1, "m": { "x": [1, 2] }, "received_at": "now, later" };
        assert!(is_same_document(&stored, &again));
        let others = [
            rawdoc! { "_id": "a", "n": 2, "m": { "x": [1, 2] }, "received_at": "then" },
            rawdoc! { "_id": "a", "n": 1_i64, "m": { "x": [1, 2] }, "received_at": "then" },
            rawdoc! { "_id": "a", "m": { "x": [1, 2] }, "n": 1, "received_at": "then" },
            rawdoc! { "_id": "a", "n": 1, "m": { "x": [1, 2, 3] }, "received_at": "then" },
            rawdoc! { "_id": "a", "n": 1, "m": { "x": [1, 2] }, "extra": true, "received_at": "then" },
            rawdoc! { "_id": "a", "n": 1, "received_at": "then" },
        ];
        for other in &others {
            assert!(!is_same_document(&stored, other), "{other:?}");
        }
    }

    #[test]
    fn nested_received_at_is_compared() {
        let stored = rawdoc! { "_id": "a", "m": { "received_at": 1 } };
        let other = rawdoc! { "_id": "a", "m": { "received_at": 2 } };
        assert!(!is_same_document(&stored, &other));
    }
}
