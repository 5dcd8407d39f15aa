//! The command line, taken apart. Does nothing.

use crate::{
    call, ctl,
    logging::{Levels, Overrides},
    new,
};
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};
use tress_app::config::{LogFormat, LogTo};

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run {
        file: PathBuf,
        log: Overrides,
    },
    Check {
        file: Option<PathBuf>,
        limits: bool,
    },
    Plugins {
        name: Option<String>,
        file: Option<PathBuf>,
    },
    Schema {
        file: Option<PathBuf>,
    },
    Serve {
        arguments: Vec<String>,
    },
    Cert {
        names: Vec<String>,
        out: PathBuf,
        force: bool,
    },
    New(new::Arguments),
    Ctl(ctl::Arguments),
    Call(call::Arguments),
    Completions {
        shell: Shell,
    },
    Man {
        directory: PathBuf,
    },
}

/// Reads the arguments; the first is the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = grammar().try_get_matches_from(arguments)?;
    Ok(match matches.subcommand() {
        Some(("run", matches)) => Command::Run {
            file: file(matches).unwrap_or_default(),
            log: Overrides {
                level: matches.get_one("log-level").cloned(),
                format: matches.get_one("log-format").copied(),
                to: matches.get_one("log-to").cloned(),
            },
        },
        Some(("check", matches)) => Command::Check {
            file: file(matches),
            limits: matches.get_flag("limits"),
        },
        Some(("plugins", matches)) => Command::Plugins {
            name: matches.get_one("explain").cloned(),
            file: file(matches),
        },
        Some(("schema", matches)) => Command::Schema {
            file: file(matches),
        },
        Some(("serve", matches)) => Command::Serve {
            arguments: matches
                .get_many("ARGUMENT")
                .map_or_else(Vec::new, |words| words.cloned().collect()),
        },
        Some(("cert", matches)) => Command::Cert {
            names: matches
                .get_many("name")
                .map_or_else(Vec::new, |names| names.cloned().collect()),
            out: matches.get_one("out").cloned().unwrap_or_default(),
            force: matches.get_flag("force"),
        },
        Some(("new", matches)) => Command::New(new::Arguments {
            name: matches.get_one("NAME").cloned().unwrap_or_default(),
            is_toml: matches.get_flag("toml"),
            tress: matches.get_one("tress").cloned(),
        }),
        Some(("ctl", matches)) => Command::Ctl(ctl::parse(matches)),
        Some(("call", matches)) => Command::Call(call::parse(matches)),
        Some(("completions", matches)) => Command::Completions {
            shell: matches.get_one("SHELL").copied().unwrap_or(Shell::Bash),
        },
        Some(("man", matches)) => Command::Man {
            directory: matches.get_one("DIRECTORY").cloned().unwrap_or_default(),
        },
        other => unreachable!("the grammar has no {other:?}"),
    })
}

fn file(matches: &ArgMatches) -> Option<PathBuf> {
    matches.get_one("FILE").cloned()
}

/// What counts more than `[log]` in the file.
fn log_arguments() -> [Arg; 3] {
    let argument =
        |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    [
        argument("log-level", "LEVEL")
            .value_parser(|list: &str| Levels::named(list).map(|_| list.to_owned()))
            .help("What to log, and everything worse: error, warn, info (the default), debug, trace; or info,tress=debug"),
        argument("log-format", "FORMAT")
            .value_parser(|name: &str| {
                LogFormat::named(name).ok_or("expected `text` or `json`")
            })
            .help("What a line of the log is: text (the default) or json"),
        argument("log-to", "WHERE")
            .value_parser(|name: &str| LogTo::named(name))
            .help("Where the log goes: stderr (the default), journal, or file:PATH"),
    ]
}

pub(crate) fn grammar() -> clap::Command {
    let file = || {
        Arg::new("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("The TOML file of the application")
    };
    let run = clap::Command::new("run")
        .about("Run an application until Ctrl-C or SIGTERM; SIGHUP reads its file again, SIGUSR2 upgrades it")
        .arg(file().required(true))
        .args(log_arguments());
    let check = clap::Command::new("check")
        .about("Check a file without starting anything")
        .arg(
            Arg::new("limits")
                .long("limits")
                .action(ArgAction::SetTrue)
                .help("Print every limit as the file sets it; without a file, the defaults"),
        )
        .arg(file().required_unless_present("limits"));
    let plugins = clap::Command::new("plugins")
        .about("List what a file can name, with options: kinds of provider, protocols, checkers, kinds of endpoint")
        .arg(
            Arg::new("explain")
                .long("explain")
                .value_name("NAME")
                .help("Tell all of this one, with an example"),
        )
        .arg(file().help("Ask the plug-ins of this file, too"));
    let schema = clap::Command::new("schema")
        .about("Print a JSON Schema of the file, with which editors complete and check it")
        .arg(file().help("Ask the plug-ins of this file, too"));
    let serve = clap::Command::new("serve")
        .about("Serve one object without a file; `tress serve --help` lists what can be served")
        .disable_help_flag(true) // what may follow depends on what is served
        .arg(
            Arg::new("ARGUMENT")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        );
    clap::Command::new("tress")
        .about("One object, every protocol: runs what a TOML file glues together")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(false)
        .subcommands([
            run,
            serve,
            check,
            plugins,
            new(),
            schema,
            cert(),
            ctl::grammar(),
            call::grammar(),
            completions(),
            man(),
        ])
}

fn new() -> clap::Command {
    clap::Command::new("new")
        .about("Make a crate with a kind of your own, or a file alone, to go on from")
        .arg(
            Arg::new("NAME")
                .required(true)
                .help("What it is called, and the new directory"),
        )
        .arg(
            Arg::new("toml")
                .long("toml")
                .action(ArgAction::SetTrue)
                .conflicts_with("tress")
                .help("Only a file, NAME.toml"),
        )
        .arg(
            Arg::new("tress")
                .long("tress")
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .help("Have the crate use these sources of tress, not those that were published"),
        )
}

fn cert() -> clap::Command {
    clap::Command::new("cert")
        .about("Make a certificate and its key for development, signed by itself")
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .action(ArgAction::Append)
                .default_values(["localhost", "127.0.0.1", "::1"])
                .help("A host name or an IP address that it is for; several times for several"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("DIRECTORY")
                .value_parser(value_parser!(PathBuf))
                .default_value(".")
                .help("Where to write cert.pem and key.pem"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Replace the files if they are there"),
        )
}

// For who makes a package; nobody else looks for them.

fn completions() -> clap::Command {
    clap::Command::new("completions")
        .about("Print what a shell reads to complete commands and options")
        .hide(true)
        .arg(
            Arg::new("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell)),
        )
}

fn man() -> clap::Command {
    clap::Command::new("man")
        .about("Write the manual pages into a directory")
        .hide(true)
        .arg(
            Arg::new("DIRECTORY")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
}
