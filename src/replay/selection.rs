//! Which dead letters a replay takes.

use super::progress::ReplayTally;
use super::request::ReplayRequest;
use crate::core::dead_letter::ReplayDecision;
use crate::kafka::ConsumedMessage;

/// What is to be done with a dead letter. Notes in the tally if this letter would exceed the limit.
pub(super) fn select_letter(
    request: &ReplayRequest,
    letter: &ConsumedMessage<'_>,
    tally: &mut ReplayTally,
) -> ReplayDecision {
    let written_at = letter.timestamp().instant();
    let decision = request
        .criteria
        .decide(&letter.dead_letter_headers(), written_at);
    if let (ReplayDecision::Take(_), Some(limit)) = (decision, request.limit) {
        tally.is_limited = tally.selected >= limit;
    }
    decision
}
