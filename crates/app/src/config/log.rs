//! `[log]`: what is logged, in which form, and where it goes. Opens nothing and logs nothing: what levels there are, and what
//! becomes of all this, knows the program.

use super::{Config, OptionSpec, Options, Problems, ValueKind, read_file};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tress_core::wording::unknown;

const FORMATS: &[&str] = &["text", "json"];

/// The most old files that are kept.
pub(crate) const KEEP_MAX: u64 = 1_000;

/// The options of `[log]`.
pub const LOG_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "to",
        value: ValueKind::String,
        required: false,
        default: "stderr",
        doc: "Where lines go: `stderr`, `journal` (systemd's), or `file:PATH`, relative to this file.",
    },
    OptionSpec {
        name: "format",
        value: ValueKind::Choice(FORMATS),
        required: false,
        default: "text",
        doc: "What a line is: `text` for people, or `json`, an object a line. The journal has its own fields instead.",
    },
    OptionSpec {
        name: "level",
        value: ValueKind::String,
        required: false,
        default: "info",
        doc: "What is logged, and everything worse: `off`, `error`, `warn`, `info`, `debug` or `trace`; with exceptions for \
              modules, `info,tress=debug`.",
    },
    OptionSpec {
        name: "modules",
        value: ValueKind::TableOfStrings,
        required: false,
        default: "",
        doc: "Modules with a level of their own, `{ tress = \"debug\" }`, beside those in `level`.",
    },
    OptionSpec {
        name: "rotate_bytes",
        value: ValueKind::Size,
        required: false,
        default: "64MiB",
        doc: "How large a file becomes: then it is called PATH.1, and a new one begins. 0 if something else rotates it.",
    },
    OptionSpec {
        name: "keep",
        value: ValueKind::Count,
        required: false,
        default: "4",
        doc: "How many old files are kept, PATH.1 being the youngest; at most 1000.",
    },
    OptionSpec {
        name: "rate",
        value: ValueKind::Count,
        required: false,
        default: "1000",
        doc: "How many lines one place in the program may log in a `rate_period`; then one says how many were left out. 0 for \
              any number.",
    },
    OptionSpec {
        name: "rate_period",
        value: ValueKind::Duration,
        required: false,
        default: "10s",
        doc: "The time that `rate` counts in, more than 0s.",
    },
];

/// What a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Words for people.
    #[default]
    Text,
    /// An object in JSON.
    Json,
}

impl LogFormat {
    /// As a file, or a command line, says it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTo {
    /// To standard error.
    #[default]
    Stderr,
    /// To systemd's journal.
    Journal,
    /// To this file.
    File(PathBuf),
}

impl LogTo {
    /// Of `stderr`, `journal`, or `file:PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn named(name: &str) -> Result<Self, String> {
        match (name, name.strip_prefix("file:")) {
            ("stderr", _) => Ok(Self::Stderr),
            ("journal", _) => Ok(Self::Journal),
            (_, Some("")) => Err("`file:` names no file".to_owned()),
            (_, Some(path)) => Ok(Self::File(path.into())),
            (_, None) => match name.contains(['/', '.']) {
                true => Err(format!("expected `file:{name}` for a file")),
                false => Err(unknown("output", name, &["stderr", "journal", "file:PATH"])),
            },
        }
    }
}

/// `[log]`, checked as far as nobody needs to be asked. The default is that of a file without this section.
#[derive(Clone, Debug)]
pub struct LogSection {
    /// `to`
    pub to: LogTo,
    /// `format`
    pub format: LogFormat,
    /// `level`, as it stands there.
    pub level: String,
    /// `modules`, each with its level as it stands there.
    pub modules: Vec<(String, String)>,
    /// `rotate_bytes`; 0 for never.
    pub rotate_bytes: u64,
    /// `keep`
    pub keep: u32,
    /// `rate`; 0 for any number.
    pub rate: u64,
    /// `rate_period`
    pub rate_period: Duration,
    /// The section's keys; `None` if there is no section.
    pub options: Option<Options>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            to: LogTo::Stderr,
            format: LogFormat::Text,
            level: "info".to_owned(),
            modules: Vec::new(),
            rotate_bytes: 64 << 20,
            keep: 4,
            rate: 1_000,
            rate_period: Duration::from_secs(10),
            options: None,
        }
    }
}

impl LogSection {
    /// That of a file. What is wrong with it is no matter here: then it is the default, and whoever loads the file says what
    /// it is.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let Ok(bytes) = read_file(path) else {
            return Self::default();
        };
        let mut problems = Problems::new(path.to_string_lossy());
        Config::read(&bytes, &mut problems).log.unwrap_or_default()
    }

    pub(super) fn of(mut options: Options, problems: &mut Problems) -> Self {
        let own_form = options.has("format");
        let mut rotated = ["rotate_bytes", "keep"].into_iter();
        let rotated = rotated.find(|key| options.has(key));
        options.check(LOG_OPTIONS, problems);
        let mut section = Self::default();
        let mut wrong = |key, message: String| problems.push(options.problem(key, message));
        match options.string("to").map(LogTo::named) {
            Ok(Ok(LogTo::File(path))) => {
                section.to = LogTo::File(options.beside(path));
            }
            Ok(Ok(to)) => section.to = to,
            Ok(Err(message)) => wrong("to", message),
            Err(_) => {} // that was said
        }
        match (&section.to, rotated) {
            (LogTo::File(_), _) | (_, None) => {}
            (_, Some(key)) => wrong(
                key,
                "only files are rotated: expected `to = \"file:PATH\"`".into(),
            ),
        }
        if own_form && section.to == LogTo::Journal {
            wrong("format", "the journal has a form of its own".into());
        }
        if let Ok(name) = options.string("format") {
            section.format = LogFormat::named(name).unwrap_or_default();
        }
        if let Ok(level) = options.string("level") {
            level.clone_into(&mut section.level);
        }
        if let Ok(Some(modules)) = options.optional_table_of_strings("modules") {
            let owned = |(module, level): (&str, &str)| (module.to_owned(), level.to_owned());
            section.modules = modules.into_iter().map(owned).collect();
        }
        if let Ok(bytes) = options.size("rotate_bytes") {
            section.rotate_bytes = bytes;
        }
        match options
            .count("keep")
            .map(|keep| (keep, u32::try_from(keep)))
        {
            Ok((..=KEEP_MAX, Ok(keep))) => section.keep = keep,
            Ok((keep, _)) => wrong("keep", format!("expected at most {KEEP_MAX}, found {keep}")),
            Err(_) => {}
        }
        if let Ok(rate) = options.count("rate") {
            section.rate = rate;
        }
        match options.duration("rate_period") {
            Ok(period) if period.is_zero() => {
                wrong("rate_period", "expected more than nothing".into())
            }
            Ok(period) => section.rate_period = period,
            Err(_) => {}
        }
        section.options = Some(options);
        section
    }
}
