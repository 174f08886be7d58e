//! `dead-letters`: lists, shows and replays dead letters.

mod list;
mod replay;
mod show;

use crate::cli::DeadLetters;
use crate::config::Config;
use crate::failure::Failure;

pub(super) fn execute(config: &Config, command: DeadLetters) -> Result<(), Failure> {
    match command {
        DeadLetters::List(arguments) => list::list(config, &arguments),
        DeadLetters::Show(arguments) => show::show(config, &arguments),
        DeadLetters::Replay(arguments) => replay::replay(config, arguments),
    }
}
