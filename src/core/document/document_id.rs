//! The `_id` of a document.

use std::fmt;

use bson::raw::RawBsonRef;
use bson::{Bson, RawDocument};

/// An `_id` that the worker may write. Whole numbers are equal whatever BSON type they have, as they are for MongoDB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentId<S = String> {
    Text(S),
    Integer(i64),
}

/// 2⁶³: the doubles below it, and from its negative on, fit `i64` if they are whole.
const BEYOND_INTEGERS: f64 = 9_223_372_036_854_775_808.0;

impl<'a> DocumentId<&'a str> {
    /// `None` if the document has no `_id`, or one that the worker doesn't write: it is another program's document then.
    pub fn of(document: &'a RawDocument) -> Option<Self> {
        match document.get("_id") {
            Ok(Some(RawBsonRef::String(text))) => Some(Self::Text(text)),
            Ok(Some(RawBsonRef::Int32(number))) => Some(Self::Integer(number.into())),
            Ok(Some(RawBsonRef::Int64(number))) => Some(Self::Integer(number)),
            Ok(Some(RawBsonRef::Double(number))) => whole(number).map(Self::Integer),
            Ok(_) | Err(_) => None,
        }
    }

    pub fn to_owned(&self) -> DocumentId {
        match *self {
            Self::Text(text) => DocumentId::Text(text.to_owned()),
            Self::Integer(number) => DocumentId::Integer(number),
        }
    }

    pub fn to_bson(&self) -> Bson {
        match *self {
            Self::Text(text) => Bson::from(text),
            Self::Integer(number) => Bson::from(number),
        }
    }
}

/// The integer that this double is.
pub(super) fn whole(number: f64) -> Option<i64> {
    let fits = (-BEYOND_INTEGERS..BEYOND_INTEGERS).contains(&number) && number.fract() == 0.0;
    // A double that is whole is written without an exponent, and −0 is 0.
    fits.then(|| format!("{number:.0}").parse().ok())?
}

impl<S: fmt::Display> fmt::Display for DocumentId<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Integer(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn whole_numbers_are_one_id_whatever_their_type() {
        for document in [
            rawdoc! { "_id": 5 },
            rawdoc! { "_id": 5_i64 },
            rawdoc! { "_id": 5.0 },
        ] {
            assert_eq!(DocumentId::of(&document), Some(DocumentId::Integer(5)));
        }
        for (number, expected) in [
            (-0.0, Some(0)),
            (i64::MIN.to_string().parse().unwrap(), Some(i64::MIN)),
            (BEYOND_INTEGERS, None),
            (0.5, None),
            (f64::NAN, None),
        ] {
            assert_eq!(whole(number), expected, "{number}");
        }
        let text = rawdoc! { "_id": "5" };
        assert_eq!(DocumentId::of(&text), Some(DocumentId::Text("5")));
        assert_eq!(DocumentId::of(&rawdoc! { "_id": true }), None);
        assert_eq!(DocumentId::of(&rawdoc! { "x": 1 }), None);
    }
}
