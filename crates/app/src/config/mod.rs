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
//!     r#"finger.toml:4: provide.users.paht: unknown key "paht"; expected one of "kind", "path"; did you mean "path"?"#,
//! );
//! ```

mod document;
mod options;
mod problem;
mod spec;
mod units;

#[cfg(test)]
mod tests;

pub use options::{Options, Text};
pub use problem::{MAX_PROBLEMS, Position, Problem, Problems, nearest, unknown};
pub use spec::{OptionSpec, ValueKind};
pub use units::{MAX_DURATION, Unit, parse_duration, parse_size};

use document::{Entry, Item, Table, Value};
use problem::{quoted, step};
use std::path::Path;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// How many `[provide.*]` and how many `[[serve]]` sections a file may have.
pub const MAX_SECTIONS: usize = 1_000;

/// The options of `[app]`.
pub const APP_OPTIONS: &[OptionSpec] = &[OptionSpec {
    name: "name",
    value: ValueKind::String,
    required: false,
    default: "",
    doc: "The application's name in logs; by default the name of the file without its ending.",
}];

/// One application, as its file describes it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[app]`.
    pub app: AppSection,
    /// `[limits]`; read it with [`Config::read_limits`].
    pub limits: Options,
    /// Every `[provide.NAME]` that has a kind, in the order of the file.
    pub provide: Vec<ProvideSection>,
    /// Every `[[serve]]` that is complete, in the order of the file.
    pub serve: Vec<ServeSection>,
}

/// `[app]`: the application as a whole.
#[derive(Clone, Debug)]
pub struct AppSection {
    /// The name in logs.
    pub name: String,
    /// The section's keys, checked against [`APP_OPTIONS`].
    pub options: Options,
}

/// `[provide.NAME]`: an object, made by a plug-in.
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
    /// The keys that the protocols read.
    pub options: Options,
}

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
                options: section("app"),
            },
            limits: section("limits"),
            provide: Vec::new(),
            serve: Vec::new(),
        }
    }
}

/// The text as a tree, unless it is too large or no TOML.
fn decode(bytes: &[u8], problems: &mut Problems) -> Option<Table> {
    let whole = Position::default();
    if bytes.len() > MAX_FILE_BYTES {
        problems.push(Problem::new(whole, "", "the file is larger than 1 MiB"));
        return None;
    }
    match str::from_utf8(bytes) {
        Ok(text) => {
            let (table, found) = document::parse(text);
            found.into_iter().for_each(|problem| problems.push(problem));
            table
        }
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|&byte| byte == b'\n').count();
            let start = before
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |index| index + 1);
            let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
            let message = "the file is not UTF-8 text";
            problems.push(Problem::new(Position { line, column }, "", message));
            None
        }
    }
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
}

/// Goes through the sections of one file.
struct Reader<'r> {
    base: &'r Path,
    problems: &'r mut Problems,
}

impl Reader<'_> {
    fn document(&mut self, mut document: Table, config: &mut Config) {
        const SECTIONS: [&str; 4] = ["app", "limits", "provide", "serve"];
        let mut serve_said = false;
        // The names that `what` may use come first, wherever they are in the file.
        let provide = document.take("provide");
        let provided = provide.map(|entry| self.all_provided(entry, &mut config.provide));
        let provided = provided.unwrap_or_default();
        for entry in document.entries {
            match entry.key.as_str() {
                "app" => self.app(entry, &mut config.app),
                "limits" => {
                    if let Some(limits) = self.section(entry, "[limits]", "limits".into(), &[]) {
                        config.limits = limits;
                    }
                }
                "serve" => serve_said |= self.all_served(entry, &provided, &mut config.serve),
                name => {
                    serve_said |= nearest(name, &SECTIONS) == Some("serve");
                    let message = unknown("section", name, &SECTIONS);
                    self.problem(entry.at, &step(name), message);
                }
            }
        }
        if !serve_said {
            let message = "nothing to serve: there is no [[serve]] section";
            self.problem(Position::default(), "", message.to_owned());
        }
    }

    fn app(&mut self, entry: Entry, app: &mut AppSection) {
        let Some(mut options) = self.section(entry, "[app]", "app".into(), &[]) else {
            return;
        };
        options.check(APP_OPTIONS, self.problems);
        if let Ok(Some(name)) = options.optional_string("name") {
            if name.is_empty() || name.chars().any(char::is_control) {
                let message = "expected a name in printable characters";
                self.problems.push(options.problem("name", message));
            }
            app.name = name.to_owned();
        }
        app.options = options;
    }

    /// Answers with every name, also of sections that are wrong otherwise: a reference to one of
    /// those is no mistake of its own.
    fn all_provided(&mut self, entry: Entry, provide: &mut Vec<ProvideSection>) -> Vec<String> {
        let Value::Table(table) = entry.item.value else {
            let found = entry.item.value.described();
            let message = format!("expected sections such as [provide.users], found {found}");
            self.problem(entry.at, "provide", message);
            return Vec::new();
        };
        self.count(table.entries.len(), entry.at, "provide");
        let mut names = Vec::new();
        for entry in table.entries.into_iter().take(MAX_SECTIONS) {
            names.push(entry.key.clone());
            provide.extend(self.provided(entry));
        }
        names
    }

    fn provided(&mut self, entry: Entry) -> Option<ProvideSection> {
        let name = entry.key.clone();
        let path = format!("provide.{}", step(&name));
        if path.contains('"') {
            let message = format!(
                "{} is no name for a provider; expected at most 64 letters, digits, \"-\" and \"_\"",
                quoted(&name),
            );
            self.problem(entry.at, &path, message);
        }
        let options = self.section(entry, "a section such as [provide.users]", path, &["kind"])?;
        let kind = self.word(&options, "kind")?;
        Some(ProvideSection {
            name,
            kind,
            options,
        })
    }

    /// Answers whether the file tried to serve something.
    fn all_served(
        &mut self,
        entry: Entry,
        provided: &[String],
        serve: &mut Vec<ServeSection>,
    ) -> bool {
        let Value::List(items) = entry.item.value else {
            let found = entry.item.value.described();
            let message = format!("expected [[serve]] in double brackets, found {found}");
            self.problem(entry.at, "serve", message);
            return true;
        };
        self.count(items.len(), entry.at, "serve");
        let any = !items.is_empty();
        for item in items.into_iter().take(MAX_SECTIONS) {
            serve.extend(self.served(item, provided));
        }
        any
    }

    fn served(&mut self, item: Item, provided: &[String]) -> Option<ServeSection> {
        let entry = Entry {
            key: "serve".to_owned(),
            at: item.at,
            item,
        };
        let common = &["what", "as", "at"];
        let options = self.section(entry, "[[serve]]", "serve".to_owned(), common)?;
        // All three are read before the first that is missing ends it, so that all are reported.
        let what = self.word(&options, "what");
        let protocols = self.words(&options, "as");
        let endpoints = self.words(&options, "at");
        if let Some(what) = &what
            && !provided.contains(what)
        {
            let names: Vec<&str> = provided.iter().map(String::as_str).collect();
            let message = unknown("provider", what, &names);
            self.problems.push(options.problem("what", message));
        }
        let (what, protocols, endpoints) = (what?, protocols?, endpoints?);
        for (index, protocol) in protocols.iter().enumerate() {
            if protocols[..index]
                .iter()
                .any(|earlier| earlier.value == protocol.value)
            {
                let message = format!("{} is named twice", quoted(&protocol.value));
                self.problems
                    .push(options.problem_at("as", protocol.at, message));
            }
        }
        Some(ServeSection {
            what,
            protocols,
            endpoints,
            options,
        })
    }

    fn section(
        &mut self,
        entry: Entry,
        expected: &str,
        path: String,
        common: &'static [&'static str],
    ) -> Option<Options> {
        match entry.item.value {
            Value::Table(table) => Some(Options::new(path, entry.at, table, common, self.base)),
            other => {
                let message = format!("expected {expected}, found {}", other.described());
                self.problem(entry.at, &path, message);
                None
            }
        }
    }

    fn word(&mut self, options: &Options, key: &str) -> Option<String> {
        let text = match options.optional_string(key) {
            Ok(Some("")) => Err(options.problem(key, "expected a name, found an empty string")),
            Ok(Some(text)) => Ok(text.to_owned()),
            Ok(None) => Err(options.missing_or_misspelt(key, "a string")),
            Err(problem) => Err(problem),
        };
        text.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn words(&mut self, options: &Options, key: &str) -> Option<Vec<Text>> {
        let texts = match options.optional_strings(key) {
            Ok(Some(texts)) => match texts.iter().find(|text| text.value.is_empty()) {
                Some(text) => Err(options.problem_at(key, text.at, "found an empty string")),
                None => Ok(texts),
            },
            Ok(None) => Err(options.missing_or_misspelt(key, ValueKind::Strings.described())),
            Err(problem) => Err(problem),
        };
        texts.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn count(&mut self, sections: usize, at: Position, key: &str) {
        if sections > MAX_SECTIONS {
            let message = format!("{sections} sections; expected at most {MAX_SECTIONS}");
            self.problem(at, key, message);
        }
    }

    fn problem(&mut self, at: Position, key: &str, message: String) {
        self.problems.push(Problem::new(at, key, message));
    }
}
