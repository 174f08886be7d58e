//! Whether more may be taken off Kafka: the limits on what is in flight, and on what has to be remembered.

use super::record::Weight;

/// How many times the limit on messages in flight a partition may run ahead of one stuck record. The
/// records settled above it have to be remembered until it is settled.
const MAX_AHEAD: usize = 10;

/// Whether `weight` fits beside `in_flight`. One batch alone always fits: a single record may be larger than the limit.
/// `tracked` is the number of records that the bookkeeping remembers.
pub fn has_room(weight: Weight, in_flight: Weight, tracked: usize, limit: Weight) -> bool {
    if tracked > limit.messages.saturating_mul(MAX_AHEAD) {
        return false;
    }
    in_flight.messages == 0
        || (in_flight.messages + weight.messages <= limit.messages
            && in_flight.bytes + weight.bytes <= limit.bytes)
}
