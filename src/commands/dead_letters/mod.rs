//! `dead-letters`: lists, shows and replays dead letters.

mod list;
mod replay;
mod show;

use crate::cli::DeadLetters;
use crate::config::Config;
use crate::failure::Failure;
use crate::runtime::CaughtSignals;

pub(super) fn execute(
    config: &Config,
    command: DeadLetters,
    signals: CaughtSignals,
) -> Result<(), Failure> {
    match command {
        DeadLetters::List(arguments) => {
            signals.release();
            list::list(config, &arguments)
        }
        DeadLetters::Show(arguments) => {
            signals.release();
            show::show(config, &arguments)
        }
        DeadLetters::Replay(arguments) => replay::replay(config, arguments, signals),
    }
}
