//! What each subcommand does, from the configuration on.

mod check;
mod run;

use std::env;
use std::io::{self, Write};

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::pipeline::Failure;

/// Does what was asked for. A failure has been told to the operator already.
///
/// # Errors
/// Why it ended otherwise than as asked; it has the exit code.
pub fn execute(cli: &Cli) -> Result<(), Failure> {
    let config = Config::load(&cli.config, env::vars_os()).map_err(|errors| {
        // No log yet, since its format is part of what can't be used. Where standard error is closed
        // there is nobody to tell.
        let _ = writeln!(io::stderr(), "{errors}");
        Failure::from(errors)
    })?;
    match cli.command() {
        Command::Run => run::run(config),
        Command::Check => check::check(&config),
    }
}
