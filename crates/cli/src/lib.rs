//! The command `tress` as a library: a program with kinds of its own has a `main` of three lines.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     tress_cli::main()
//! }
//! ```
//!
//! Its kinds plug themselves in where they are defined ([`tress_app::plug_in!`]); one that is in a library of its own needs
//! `use that_library as _;` beside.
//!
//! Chooses the driver, the signals and where logs go. Knows no kind and no protocol.

#![forbid(unsafe_code)]

mod arguments;
mod call;
mod certificate;
mod commands;
mod ctl;
mod example;
mod listing;
mod logging;
mod login;
mod manual;
mod new;
mod serve;
mod table;
mod upgrade;

pub use tress_app::Registry;

use arguments::Command;
use std::{
    io::{self, Write},
    process::ExitCode,
};
use tress_app::RunError;
use tress_core::Failure;
use tress_rpc::Fault;

/// Runs the command of this process's arguments. Files may name what tress brings along and what the program's crates plug in
/// ([`tress_app::plug_in!`]).
///
/// Ends as [`main_with`] does, and with 1 when two kinds have one name.
#[must_use]
pub fn main() -> ExitCode {
    match Registry::plugged() {
        Ok(registry) => main_with(&registry),
        Err(taken) => {
            say(&taken);
            ExitCode::from(1)
        }
    }
}

/// Runs the command of this process's arguments. What files may name stands in `registry`.
///
/// Ends with 0 when all went well, with 1 when something could not start or the loop failed, and with 2 for wrong
/// arguments and a wrong file, also one with an endpoint where nothing can listen. `tress ctl` and `tress call` also with 3:
/// whom they ask cannot be reached.
#[must_use]
pub fn main_with(registry: &Registry) -> ExitCode {
    let code = match arguments::parse(std::env::args_os()) {
        Ok(command) => execute(command, registry),
        Err(error) => {
            // Help goes to stdout and is no error; there is nobody left to tell when it cannot be written.
            error.print().ok();
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
    };
    ExitCode::from(code)
}

fn execute(command: Command, registry: &Registry) -> u8 {
    let done = match command {
        Command::Run { file, log } => commands::run(&file, log, registry),
        Command::Check { file, limits } => commands::check(file.as_deref(), limits, registry),
        Command::Plugins { name, file } => {
            commands::plugins(name.as_deref(), file.as_deref(), registry)
        }
        Command::Schema { file } => commands::schema(file.as_deref(), registry),
        Command::Serve { arguments } => serve::serve(&arguments, registry),
        Command::Cert { names, out, force } => certificate::make(&names, &out, force),
        Command::New(arguments) => new::make(&arguments),
        Command::Ctl(arguments) => ctl::run(&arguments, registry),
        Command::Call(arguments) => call::run(&arguments, registry),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
    };
    match done {
        Ok(()) => 0,
        Err(ended) => {
            if let Some(text) = ended.text() {
                say(&text);
            }
            ended.code()
        }
    }
}

/// Why a command did not end well.
enum Ended {
    Because(RunError),
    /// One of several workers.
    Worker(Failure),
    NoReactor(Failure),
    /// A name on the command line, or a plug-in.
    Unknown(String),
    /// A file that was to be written.
    NotMade(String),
    /// Who was asked could not be reached, or said no; and the code to end with.
    Ctl(u8, Fault),
    /// That has been said.
    Said(u8),
    /// What was asked for could not be written.
    Output(io::Error),
}

impl Ended {
    /// What the operator is told.
    fn text(&self) -> Option<String> {
        match self {
            Self::Because(error) => Some(error.to_string()),
            Self::Worker(failure) | Self::NoReactor(failure) => Some(failure.to_string()),
            Self::Unknown(message) | Self::NotMade(message) => Some(message.clone()),
            // What somebody else says.
            Self::Ctl(_, fault) => Some(call::harmless(fault.message())),
            Self::Said(_) => None,
            Self::Output(error) => {
                (error.kind() != io::ErrorKind::BrokenPipe).then(|| error.to_string())
            }
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Because(error) => error.exit_code(),
            Self::Worker(failure) => failure.check::<RunError>().map_or(1, RunError::exit_code),
            Self::NoReactor(_) | Self::NotMade(_) => 1,
            Self::Unknown(_) => 2,
            Self::Ctl(code, _) | Self::Said(code) => *code,
            // Whoever read the output has enough of it.
            Self::Output(error) => u8::from(error.kind() != io::ErrorKind::BrokenPipe),
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The words for the operator, on stderr.
fn say(what: &dyn std::fmt::Display) {
    writeln!(io::stderr(), "{what}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use logging::Overrides;
    use std::{ffi::OsString, path::PathBuf};
    use tress_app::config::{LogFormat, LogTo};

    fn parse(words: &str) -> Result<Command, i32> {
        let words = words.split(' ').map(OsString::from);
        arguments::parse(words).map_err(|error| error.exit_code())
    }

    #[test]
    fn commands() {
        let file = PathBuf::from("a.toml");
        let run = |log| {
            let file = file.clone();
            Ok(Command::Run { file, log })
        };
        assert_eq!(parse("tress run a.toml"), run(Overrides::default()));
        assert_eq!(
            parse(
                "tress run --log-level warn,tress=debug --log-format json --log-to file:a.log a.toml"
            ),
            run(Overrides {
                level: Some("warn,tress=debug".to_owned()),
                format: Some(LogFormat::Json),
                to: Some(LogTo::File("a.log".into())),
            })
        );
        let check = |file, limits| Ok(Command::Check { file, limits });
        assert_eq!(
            parse("tress check a.toml"),
            check(Some(file.clone()), false)
        );
        assert_eq!(
            parse("tress check --limits a.toml"),
            check(Some(file.clone()), true)
        );
        assert_eq!(parse("tress check --limits"), check(None, true));
        assert_eq!(parse("tress schema"), Ok(Command::Schema { file: None }));
        let name = Some("finger".to_owned());
        assert_eq!(
            parse("tress plugins --explain finger a.toml"),
            Ok(Command::Plugins {
                name,
                file: Some(file.clone())
            })
        );
        let arguments = ["qotd", "--quote", "a", "--help"].map(str::to_owned).into();
        assert_eq!(
            parse("tress serve qotd --quote a --help"),
            Ok(Command::Serve { arguments })
        );
        let cert = |names: &[&str], out: &str, force| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let out = PathBuf::from(out);
            Ok(Command::Cert { names, out, force })
        };
        let local = ["localhost", "127.0.0.1", "::1"];
        assert_eq!(parse("tress cert"), cert(&local, ".", false));
        assert_eq!(
            parse("tress cert --force --name a.example --name b.example --out certs"),
            cert(&["a.example", "b.example"], "certs", true)
        );
        let directory = PathBuf::from("pages");
        assert_eq!(parse("tress man pages"), Ok(Command::Man { directory }));
        assert_eq!(parse("tress --help"), Err(0));
        assert_eq!(parse("tress --version"), Err(0));
    }

    #[test]
    fn wrong_words() {
        for wrong in [
            "tress",
            "tress completions cmd",
            "tress call amp tcp:127.0.0.1:1",
            "tress call --token env:A --user a amp tcp:127.0.0.1:1 m",
            "tress call --password env:A amp tcp:127.0.0.1:1 m",
            "tress cert certs",
            "tress run",
            "tress check",
            "tress new",
            "tress new a --toml --tress b",
            "tress rnu a.toml",
            "tress run --log-level loud a.toml",
            "tress run --log-format xml a.toml",
            "tress run --log-to a.log a.toml",
        ] {
            assert_eq!(parse(wrong), Err(2), "{wrong}");
        }
    }
}
