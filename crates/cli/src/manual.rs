//! What a package brings beside the program: manual pages and completions for shells, made of the grammar of the command
//! line. Knows no command.

use crate::{Ended, arguments};
use clap_complete::Shell;
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

/// Prints what a shell reads to complete commands and options.
pub(crate) fn completions(shell: Shell) -> Result<(), Ended> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut arguments::grammar(), "tress", &mut text);
    io::stdout().write_all(&text)?;
    Ok(())
}

/// Writes a page for the program and one for each of its commands.
pub(crate) fn pages(directory: &Path) -> Result<(), Ended> {
    let made = fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(arguments::grammar(), directory));
    made.map_err(|error| {
        let shown = directory.display();
        Ended::NotMade(format!("cannot write manual pages to `{shown}`: {error}"))
    })
}
