//! A replay that counts the letters it would take, and does nothing else.

use std::time::Duration;

use super::progress::{ReplayTally, Show};
use super::request::ReplayRequest;
use super::selection::select_letter;
use crate::failure::Failure;
use crate::kafka::{Next, TopicReader};
use crate::runtime::StopSignal;

/// How long one read waits for a letter before the progress is shown again.
const READ_WAIT: Duration = Duration::from_millis(50);

/// Reads and selects the letters as a replay does, and counts them.
pub(super) fn count(
    reader: &mut TopicReader,
    request: &ReplayRequest,
    stop: &StopSignal,
    tally: &mut ReplayTally,
    show: Show<'_>,
) -> Result<(), Failure> {
    while !stop.is_stopping() {
        show(tally);
        match reader.next(READ_WAIT)? {
            Next::Record(letter) => {
                let decision = select_letter(request, &letter, tally);
                if tally.is_limited {
                    return Ok(());
                }
                tally.count(decision);
            }
            Next::Nothing => {}
            Next::End => return Ok(()),
        }
    }
    tally.is_interrupted = true;
    Ok(())
}
