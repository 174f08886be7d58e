//! The verdict on a document that MongoDB refused.

use super::outcome::{StoredDocument, Verdict, WriteError};
use crate::core::rejection::{Reason, Rejection};

/// The verdict on a duplicate, by what was read back.
pub(super) fn duplicate_verdict(found: StoredDocument, error: &WriteError) -> Verdict {
    let rejection = match found {
        StoredDocument::Same => return Verdict::AlreadyStored,
        StoredDocument::Different => Rejection::of_field(
            Reason::IdConflict,
            "_id",
            "another document is stored under this message's `_id`",
        ),
        StoredDocument::EqualId => Rejection::of_field(
            Reason::IdConflict,
            "_id",
            "another document is stored under an `_id` that MongoDB takes for this message's, by the collection's \
             collation or as a number of another type",
        ),
        StoredDocument::Absent => Rejection::new(
            Reason::WriteRejected,
            "a unique index other than that of `_id` holds a key of this document already",
        ),
    };
    Verdict::Rejected(Rejection {
        code: error.code,
        ..rejection
    })
}

/// The verdict on a document that was refused for a reason of its own.
pub(super) fn rejected(error: &WriteError) -> Verdict {
    Verdict::Rejected(Rejection {
        code: error.code,
        ..Rejection::new(Reason::WriteRejected, error.message.clone())
    })
}
