//! Reads the one TOML file of an application into checked values. A wrong file is refused before
//! anything starts, with every problem in it named at once, for operators who never see Rust.
//! Must not know: any kind, protocol or endpoint by name; files, sockets, clocks. The caller brings
//! the bytes, checks the names against its registry, and gives each section the table of its options.
//!
//! ```
//! use tress_app::config::{Config, OptionSpec, Problems, ValueKind};
//!
//! const OPTIONS: &[OptionSpec] = &[OptionSpec {
//!     name: "path", value: ValueKind::Path, required: true, default: "", doc: "The file to read.",
//! }];
//! let text = r#"
//! [provide.users]
//! kind = "finger.file"
//! paht = "users"
//!
//! [[serve]]
//! what = "users"
//! as = "finger"
//! at = "tcp:79"
//! "#;
//! let mut problems = Problems::new("finger.toml");
//! let mut config = Config::read(text.as_bytes(), &mut problems);
//! config.provide[0].options.check(OPTIONS, &mut problems);
//! assert_eq!(
//!     problems.to_string(),
//!     r#"finger.toml:4: provide.users.paht: unknown key `paht`; expected one of `kind`, `path`; did you mean `path`?"#,
//! );
//! ```

mod document;
mod log;
mod options;
mod problem;
mod reader;
mod run;
mod secret;
mod spec;
mod units;

#[cfg(test)]
mod tests;

pub use log::{LOG_OPTIONS, LogFormat, LogSection, LogTo};
pub use options::{Options, Text};
pub use problem::{MAX_PROBLEMS, Position, Problem, Problems};
pub use run::{RESTART_LIMIT_MAX, RUN_OPTIONS, RunSection};
pub use secret::Secret;
pub use spec::{OptionSpec, ValueKind};
pub use units::{MAX_DURATION, Unit, parse_duration, parse_size, written};

use document::Table;
use reader::{Reader, decode};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use tress_core::limits::WORKERS_MAX;
use tress_rpc::CallLimits;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// How many `[provide.*]`, how many `[[serve]]` and how many `[[run]]` sections a file may have.
pub const MAX_SECTIONS: usize = 1_000;

/// The options of `[app]`.
pub const APP_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "name",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "The application's name in logs; by default the name of the file without its ending.",
    },
    OptionSpec {
        name: "workers",
        value: ValueKind::Workers,
        required: false,
        default: "",
        doc: "On how many threads it serves, 1 to 256; `auto` is one for each core. 1 by default.",
    },
    OptionSpec {
        name: "calls_in_flight",
        value: ValueKind::Count,
        required: false,
        default: "",
        doc: "With several workers: how many calls of one to one object of the first may wait for answers, at least 1; \
              more fail. 1000 by default.",
    },
    OptionSpec {
        name: "call_deadline",
        value: ValueKind::Duration,
        required: false,
        default: "",
        doc: "How long such a call waits for its answer, more than 0s; then it fails and is cancelled. 30s by default.",
    },
    OptionSpec {
        name: "plugins",
        value: ValueKind::Path,
        required: false,
        default: "",
        doc: "The directory of plug-ins in processes of their own, NAME.toml each; by default `plugins.d` beside this file.",
    },
    OptionSpec {
        name: "driver",
        value: ValueKind::Choice(crate::driver::NAMES),
        required: false,
        default: "",
        doc: "What the loop takes its events from: `mio` (the default), `uring` (io_uring, or an error), or `auto` \
              (io_uring where it can be had, and otherwise mio).",
    },
];

/// One application, as its file describes it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[app]`.
    pub app: AppSection,
    /// `[limits]`; read it with [`Config::read_limits`].
    pub limits: Options,
    /// `[log]`, if it is there.
    pub log: Option<LogSection>,
    /// Every `[provide.NAME]` that has a kind, in the order of the file.
    pub provide: Vec<ProvideSection>,
    /// Every `[auth.NAME]` that has a kind, in the order of the file.
    pub auth: Vec<ProvideSection>,
    /// Every `[[serve]]` that is complete, in the order of the file.
    pub serve: Vec<ServeSection>,
    /// Every `[[run]]` that is right, in the order of the file.
    pub run: Vec<RunSection>,
    /// `[control]`, as a section that serves the application itself: its `what` is [`CONTROL`].
    pub control: Option<ServeSection>,
}

/// What [`ServeSection::what`] is for `[control]`: no name of a provider, as those have no brackets.
pub const CONTROL: &str = "[control]";

/// As what `[control]` serves the application: the protocol that `tress ctl` speaks.
pub const CONTROL_PROTOCOL: &str = "jsonrpc-lines";

/// `[app]`: the application as a whole.
#[derive(Clone, Debug)]
pub struct AppSection {
    /// The name in logs.
    pub name: String,
    /// On how many threads it serves.
    pub workers: WorkersWanted,
    /// What calls from one worker to the objects of the first may be and take.
    pub calls: CallLimits,
    /// The section's keys, checked against [`APP_OPTIONS`].
    pub options: Options,
}

/// `workers` in `[app]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkersWanted {
    /// One for each core that the process may use.
    Auto,
    /// So many, 1 to [`WORKERS_MAX`].
    Count(usize),
}

impl WorkersWanted {
    /// How many these are where so many cores are available.
    #[must_use]
    pub fn count(self, available: usize) -> usize {
        match self {
            Self::Auto => available.clamp(1, WORKERS_MAX),
            Self::Count(count) => count,
        }
    }

    /// Whether they may be more than one.
    #[must_use]
    pub fn may_be_many(self) -> bool {
        self != Self::Count(1)
    }
}

impl Default for WorkersWanted {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// `[provide.NAME]`: an object, made by a plug-in; or `[auth.NAME]`: a checker of credentials.
#[derive(Clone, Debug)]
pub struct ProvideSection {
    /// NAME: letters, digits, `-` and `_`.
    pub name: String,
    /// Which plug-in makes it; the caller checks it.
    pub kind: String,
    /// The keys that the kind reads.
    pub options: Options,
}

/// `[[serve]]`: an object, through one or more protocols, at one or more endpoints.
#[derive(Clone, Debug)]
pub struct ServeSection {
    /// The name of a `[provide.NAME]` of this file.
    pub what: String,
    /// `as`: names of protocols, each once; the caller checks them.
    pub protocols: Vec<Text>,
    /// `at`: endpoint strings; the caller checks them.
    pub endpoints: Vec<Text>,
    /// The keys that every section may have and the protocols read.
    pub options: Options,
}

/// The keys that every `[[serve]]` may have beside `what`, `as` and `at`.
pub const SERVE_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "name",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "What the service is called when it is listed, started and stopped; by default `what`, `-` and the first of `as`.",
    },
    OptionSpec {
        name: "interface",
        value: ValueKind::String,
        required: false,
        default: "",
        doc: "Which of the object's interfaces; by default the first that the protocol can say.",
    },
    OptionSpec {
        name: "auth",
        value: ValueKind::Strings,
        required: false,
        default: "",
        doc: "Who may call: the names of [auth.NAME] sections, which are asked in this order.",
    },
    OptionSpec {
        name: "anonymous",
        value: ValueKind::Bool,
        required: false,
        default: "",
        doc: "Whether callers need not say who they are; by default so where only this machine reaches it.",
    },
    OptionSpec {
        name: "plaintext",
        value: ValueKind::Bool,
        required: false,
        default: "",
        doc: "Whether passwords and tokens may cross a network unencrypted: where something else encrypts, say.",
    },
];

impl ProvideSection {
    /// A problem with the value of `key`, at its line; at the section's line when the key is absent.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        self.options.problem(key, message)
    }
}

impl ServeSection {
    /// A problem with the value of `key`, at its line; at the section's line when the key is absent.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        self.options.problem(key, message)
    }

    /// A problem with one name in `as`, or one string in `at`.
    pub fn problem_at(&self, key: &str, text: &Text, message: impl Into<String>) -> Problem {
        self.options.problem_at(key, text.at, message)
    }
}

impl Config {
    /// Reads a file that must be right. `file` is its path: it starts every line of the report, and
    /// relative paths in the file start at its directory.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problems> {
        let mut problems = Problems::new(file);
        let config = Self::read(bytes, &mut problems);
        problems.into_result(config)
    }

    /// Reads a file whose path is `problems.file()` and reports what is wrong to `problems`. The
    /// sections that are right are in the result all the same, so that the caller can go on checking
    /// and the operator gets one report; the result is good for nothing else unless no problem was found.
    pub fn read(bytes: &[u8], problems: &mut Problems) -> Self {
        let file = problems.file().to_owned();
        let mut config = Self::empty(Path::new(&file));
        if let Some(document) = decode(bytes, problems) {
            Reader {
                base: directory(Path::new(&file)),
                problems,
            }
            .document(document, &mut config);
        }
        config
    }

    /// Reads `[[serve]]` sections that are to be added to the application of a file, whose providers have these names.
    /// Relative paths start at that file's directory.
    pub fn read_attached(
        text: &str,
        file: &str,
        provided: &[String],
        problems: &mut Problems,
    ) -> Vec<ServeSection> {
        let mut sections = Vec::new();
        if let Some(document) = decode(text.as_bytes(), problems) {
            let base = directory(Path::new(file));
            Reader { base, problems }.attached(document, provided, &mut sections);
        }
        sections
    }

    /// The values in `[limits]`, compared with the names and units that the engine has: bytes, a
    /// count, or milliseconds. Limits that the file does not name are left out.
    pub fn read_limits<'k>(
        &self,
        known: &[(&'k str, Unit)],
        problems: &mut Problems,
    ) -> Vec<(&'k str, u64)> {
        let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
        let mut values = Vec::new();
        for &(name, unit) in known {
            let value = match unit {
                Unit::Bytes => self.limits.optional_size(name),
                Unit::Count => self.limits.optional_count(name),
                Unit::Time => self.limits.optional_duration(name).map(|time| {
                    // MAX_DURATION keeps it far below 64 bits
                    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
                }),
            };
            match value {
                Ok(Some(value)) => values.push((name, value)),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        for problem in self.limits.finish(&names) {
            problems.push(problem);
        }
        values
    }

    fn empty(file: &Path) -> Self {
        let section = |name: &str| {
            let at = Position::default();
            Options::new(name.to_owned(), at, Table::default(), &[], directory(file))
        };
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        Self {
            app: AppSection {
                name: stem.unwrap_or_else(|| "tress".to_owned()),
                workers: WorkersWanted::default(),
                calls: CallLimits::default(),
                options: section("app"),
            },
            limits: section("limits"),
            log: None,
            provide: Vec::new(),
            auth: Vec::new(),
            serve: Vec::new(),
            run: Vec::new(),
            control: None,
        }
    }
}

/// The keys of a file that has no sections, unless it is no TOML: then `problems`, which has its name, knows more.
pub(crate) fn read_keys(bytes: &[u8], problems: &mut Problems) -> Option<Options> {
    let file = problems.file().to_owned();
    let table = decode(bytes, problems)?;
    let (path, at) = (String::new(), Position::default());
    Some(Options::new(
        path,
        at,
        table,
        &[],
        directory(Path::new(&file)),
    ))
}

/// A problem with a file as a whole.
pub(crate) fn whole(message: impl Into<String>) -> Problem {
    Problem::new(Position::default(), "", message)
}

/// Whether a limit may be nothing: no idle time at all means that connections may be idle for ever.
pub(crate) fn may_be_zero(limit: &str) -> bool {
    limit == "idle"
}

/// As much of a file as is looked at, and one byte more for the complaint.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_FILE_BYTES as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}
