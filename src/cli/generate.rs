//! What is made from the definitions of the command line: completions for a shell, and the manual.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// The script that makes `shell` complete commands and options.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut definitions = <Cli as CommandFactory>::command();
    let name = definitions.get_name().to_owned();
    clap_complete::generate(shell, &mut definitions, name, &mut script);
    script
}

/// The manual pages of the program and of each command, one after the other, as `man` reads them.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut pages = Vec::new();
    let mut definitions = <Cli as CommandFactory>::command().disable_help_subcommand(true);
    definitions.build();
    write_pages(&definitions, &mut pages)?;
    Ok(pages)
}

fn write_pages(command: &clap::Command, pages: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(pages)?;
    command
        .get_subcommands()
        .try_for_each(|subcommand| write_pages(subcommand, pages))
}
