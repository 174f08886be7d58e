//! `dead-letters`: looking at the dead letter topic, and bringing home what is in it.

use crate::cli::DeadLetters;
use crate::config::Config;
use crate::pipeline::Failure;

pub(super) fn execute(_config: &Config, command: DeadLetters) -> Result<(), Failure> {
    match command {
        DeadLetters::List(_) => Ok(()),
        DeadLetters::Show(_) => Ok(()),
        DeadLetters::Replay(_) => Ok(()),
    }
}
