//! `plugins.d/NAME.toml`: how a plug-in is started, and what it may take. Starts none.

use super::told;
use crate::config::{self, OptionSpec, Problem, Problems, ValueKind};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tress_core::process::Command;
use tress_rpc::{ExposureLimits, amp::VALUE_BYTES};

/// The keys of the file.
pub const PLUGIN_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "command",
        value: ValueKind::Strings,
        required: true,
        default: "",
        doc: "The program and its arguments. A program with a `/` in it is relative to `directory`, any other is looked for in PATH.",
    },
    OptionSpec {
        name: "directory",
        value: ValueKind::Path,
        required: false,
        default: "",
        doc: "Where it runs; by default in the directory of this file.",
    },
    OptionSpec {
        name: "environment",
        value: ValueKind::TableOfStrings,
        required: false,
        default: "",
        doc: "Variables that it gets beside those of tress, as in { LANG = \"C\" }.",
    },
    OptionSpec {
        name: "handshake",
        value: ValueKind::Duration,
        required: false,
        default: "10s",
        doc: "How long it may take from its start until it has told all, more than 0s; then it is ended.",
    },
    OptionSpec {
        name: "calls_in_flight",
        value: ValueKind::Count,
        required: false,
        default: "1000",
        doc: "Calls that wait for its answers, or for its start, at least 1; more fail with `busy`.",
    },
    OptionSpec {
        name: "call_deadline",
        value: ValueKind::Duration,
        required: false,
        default: "30s",
        doc: "How long a call waits for its answer, more than 0s; then it fails with `deadline`.",
    },
    OptionSpec {
        name: "answer_bytes",
        value: ValueKind::Size,
        required: false,
        default: "128KiB",
        doc: "Bytes of one message of it, at least 66KiB, as a value of AMP may have that; a longer one ends it.",
    },
    OptionSpec {
        name: "log_lines",
        value: ValueKind::Count,
        required: false,
        default: "100",
        doc: "Lines of its standard error that are logged in a second; of more only their number is.",
    },
    OptionSpec {
        name: "restarts",
        value: ValueKind::Count,
        required: false,
        default: "5",
        doc: "How often within a minute it is started again when it ends by itself; then it stays down until the next reload.",
    },
    OptionSpec {
        name: "stop",
        value: ValueKind::Duration,
        required: false,
        default: "2s",
        doc: "How long it may take to end once its input has, more than 0s; then it gets SIGTERM, and after as long SIGKILL.",
    },
];

/// How a plug-in is started, and what it may take.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// NAME: what stands before the dot of its kinds.
    pub name: String,
    /// The file that says all this.
    pub file: String,
    program: String,
    arguments: Vec<String>,
    directory: PathBuf,
    environment: Vec<(String, String)>,
    /// How long its start may take.
    pub handshake: Duration,
    /// Calls that wait.
    pub calls_in_flight: usize,
    /// How long each waits.
    pub call_deadline: Duration,
    /// Bytes of a message of it.
    pub answer_bytes: usize,
    /// Lines of its errors, in a second.
    pub log_lines: usize,
    /// Starts anew, in a minute.
    pub restarts: usize,
    /// How long its end may take.
    pub stop: Duration,
}

impl PluginSpec {
    /// Reads `NAME.toml`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::new(path.to_string_lossy());
        match config::read_file(path) {
            Ok(bytes) => Self::parse(path, &bytes),
            Err(error) => {
                problems.push(config::whole(format!("cannot read the file: {error}")));
                Err(problems)
            }
        }
    }

    /// The same where the content is here.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::new(path.to_string_lossy());
        let Some(mut options) = config::read_keys(bytes, &mut problems) else {
            return Err(problems);
        };
        options.check(PLUGIN_OPTIONS, &mut problems);
        let read = |problems: &mut Problems| -> Result<Self, Problem> {
            let mut command = options
                .strings("command")?
                .into_iter()
                .map(|text| text.value);
            let program = command.next().unwrap_or_default();
            if program.is_empty() {
                problems.push(options.problem("command", "the program's name is empty"));
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            if let Err(why) = told::kind_name(&name) {
                problems.push(config::whole(why));
            }
            let mut more_than_nothing = |key: &str, is_nothing: bool| {
                if is_nothing {
                    problems.push(options.problem(key, "expected more than nothing"));
                }
            };
            let durations = ["handshake", "call_deadline", "stop"];
            for key in durations {
                more_than_nothing(key, options.duration(key)?.is_zero());
            }
            let calls = options.count("calls_in_flight")?;
            more_than_nothing("calls_in_flight", calls == 0);
            let answer_bytes = count(options.size("answer_bytes")?);
            if answer_bytes < VALUE_BYTES + 2048 {
                let message = format!("expected at least 66KiB, found {answer_bytes}");
                problems.push(options.problem("answer_bytes", message));
            }
            let beside = path.parent().filter(|path| !path.as_os_str().is_empty());
            let beside = beside.unwrap_or_else(|| Path::new(".")).to_owned();
            let environment = options.optional_table_of_strings("environment")?;
            let environment = environment.unwrap_or_default().into_iter();
            Ok(Self {
                name: name.into_owned(),
                file: path.to_string_lossy().into_owned(),
                program,
                arguments: command.collect(),
                directory: options.optional_path("directory")?.unwrap_or(beside),
                environment: environment
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                handshake: options.duration("handshake")?,
                calls_in_flight: count(calls),
                call_deadline: options.duration("call_deadline")?,
                answer_bytes,
                log_lines: count(options.count("log_lines")?),
                restarts: count(options.count("restarts")?),
                stop: options.duration("stop")?,
            })
        };
        let found = if problems.is_empty() {
            read(&mut problems).map_err(|problem| problems.push(problem))
        } else {
            Err(())
        };
        match found {
            Ok(spec) if problems.is_empty() => Ok(spec),
            _ => Err(problems),
        }
    }

    /// How it is started.
    #[must_use]
    pub fn command(&self) -> Command {
        let command = Command::new(&self.program)
            .arguments(&self.arguments)
            .directory(&self.directory)
            .inherit_environment();
        let variables = self.environment.iter();
        variables.fold(command, |command, (name, value)| {
            command.variable(name, value)
        })
    }

    pub(super) fn limits(&self) -> ExposureLimits {
        ExposureLimits {
            response_bytes: self.answer_bytes,
            calls_in_flight: self.calls_in_flight,
            call_deadline: self.call_deadline,
            ..ExposureLimits::default()
        }
    }

    /// What problems and logs call it.
    pub(super) fn shown(&self) -> String {
        format!("plug-in `{}` ({})", self.name, self.file)
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
