//! Why a batch was left before every record of it was settled.

use crate::failure::Failure;

pub(super) enum Unfinished {
    /// None of the remaining records is ours any more, or the process stops: Kafka will deliver them again.
    GivenUp,
    Failed(Failure),
}
