//! `offsets`: shows and resets the committed offsets of the consumer group. Never joins the group.

mod reset;
mod show;
mod targets;

use crate::cli::Offsets;
use crate::config::Config;
use crate::failure::Failure;

pub(super) fn execute(config: &Config, command: &Offsets) -> Result<(), Failure> {
    match command {
        Offsets::Show(arguments) => show::show(config, *arguments),
        Offsets::Reset(arguments) => reset::reset(config, arguments),
    }
}
