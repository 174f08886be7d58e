//! Why a batch was left before every record of it was settled.

use crate::failure::Failure;

pub(super) enum Unfinished {
    /// None of the remaining records belongs to this process any more, or the process stops. Kafka will deliver them
    /// again.
    GivenUp,
    /// The next record was refused with a code that isn't in the table, and MongoDB is unavailable. The batch must not
    /// occupy the writer: other batches show whether MongoDB takes them.
    SetAside,
    /// Too many messages are rejected.
    Flooded(Failure),
    Failed(Failure),
}
