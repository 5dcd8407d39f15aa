//! Goes through the sections of one file and says what is wrong with each.
//! Must not know: which kinds, protocols and endpoints there are.

use super::{
    APP_OPTIONS, AppSection, CONTROL, CONTROL_PROTOCOL, Config, LogSection, MAX_FILE_BYTES,
    MAX_SECTIONS, Options, Position, Problem, Problems, ProvideSection, RUN_OPTIONS, RunSection,
    ServeSection, Text, ValueKind,
    document::{self, Entry, Item, Table, Value},
    problem::step,
};
use std::{collections::BTreeSet, path::Path, time::Duration};
use tress_core::{
    endpoint::quote,
    wording::{nearest, quoted, unknown},
};
use tress_rpc::CallLimits;

/// The text as a tree, unless it is too large or no TOML.
pub(super) fn decode(bytes: &[u8], problems: &mut Problems) -> Option<Table> {
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

/// Where the sections and the problems of one file go.
pub(super) struct Reader<'r> {
    /// What relative paths are relative to.
    pub(super) base: &'r Path,
    pub(super) problems: &'r mut Problems,
}

impl Reader<'_> {
    pub(super) fn document(&mut self, mut document: Table, config: &mut Config) {
        const SECTIONS: [&str; 8] = [
            "app", "auth", "control", "limits", "log", "provide", "run", "serve",
        ];
        let mut serve_said = false;
        // The names that `what` may use come first, wherever they are in the file.
        let provide = document.take("provide");
        let provided = provide.map(|entry| self.all_named(entry, "provide", &mut config.provide));
        let provided = provided.unwrap_or_default();
        for entry in document.entries {
            match entry.key.as_str() {
                "app" => self.app(entry, &mut config.app),
                "auth" => drop(self.all_named(entry, "auth", &mut config.auth)),
                "control" => {
                    serve_said = true;
                    config.control = self.control(entry);
                }
                "limits" => {
                    if let Some(limits) = self.section(entry, "[limits]", "limits".into(), &[]) {
                        config.limits = limits;
                    }
                }
                "log" => {
                    if let Some(options) = self.section(entry, "[log]", "log".into(), &[]) {
                        config.log = Some(LogSection::of(options, self.problems));
                    }
                }
                "run" => serve_said |= self.all_run(entry, &mut config.run),
                "serve" => serve_said |= self.all_served(entry, &provided, &mut config.serve),
                name => {
                    serve_said |= matches!(nearest(name, &SECTIONS), Some("run" | "serve"));
                    let message = unknown("section", name, &SECTIONS);
                    self.problem(entry.at, &step(name), message);
                }
            }
        }
        if !serve_said {
            let message = "nothing to serve or run: there is no [[serve]] and no [[run]] section";
            self.problem(Position::default(), "", message.to_owned());
        }
    }

    /// What is to be added to a file that was read: `[[serve]]` sections and nothing else.
    pub(super) fn attached(
        &mut self,
        document: Table,
        provided: &[String],
        serve: &mut Vec<ServeSection>,
    ) {
        let mut said = false;
        for entry in document.entries {
            if entry.key == "serve" {
                said |= self.all_served(entry, provided, serve);
            } else {
                said |= nearest(&entry.key, &["serve"]).is_some();
                let message = format!(
                    "{} cannot be attached: expected [[serve]] and nothing else",
                    quoted(&entry.key)
                );
                self.problem(entry.at, &step(&entry.key), message);
            }
        }
        if !said {
            let message = "nothing to attach: there is no [[serve]] section";
            self.problem(Position::default(), "", message.to_owned());
        }
    }

    /// By default at a socket beside the file, which nobody opens but who runs it.
    fn control(&mut self, entry: Entry) -> Option<ServeSection> {
        let options = self.section(entry, "[control]", "control".into(), &["at"])?;
        let endpoints = if options.has("at") {
            self.words(&options, "at")?
        } else {
            let file = Path::new(self.problems.file()).file_stem();
            let name = file.map_or_else(|| "tress".into(), |stem| stem.to_string_lossy());
            let path = self.base.join(format!("{name}.control"));
            let value = format!("unix:{}:mode=600", quote(&path.to_string_lossy()));
            let at = options.position();
            vec![Text { value, at }]
        };
        let protocol = Text {
            value: CONTROL_PROTOCOL.to_owned(),
            at: options.position(),
        };
        Some(ServeSection {
            what: CONTROL.to_owned(),
            protocols: vec![protocol],
            endpoints,
            options,
        })
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
        if let Ok(Some(workers)) = options.optional_workers("workers") {
            app.workers = workers;
        }
        self.calls(&options, &mut app.calls);
        app.options = options;
    }

    /// None at all could never be called.
    fn calls(&mut self, options: &Options, calls: &mut CallLimits) {
        match options.optional_count("calls_in_flight") {
            Ok(Some(0)) => {
                let message = "expected more than nothing";
                self.problems
                    .push(options.problem("calls_in_flight", message));
            }
            Ok(Some(count)) => calls.in_flight = usize::try_from(count).unwrap_or(usize::MAX),
            Ok(None) | Err(_) => {} // what is wrong was said
        }
        match options.optional_duration("call_deadline") {
            Ok(Some(Duration::ZERO)) => {
                let message = "expected more than nothing";
                self.problems
                    .push(options.problem("call_deadline", message));
            }
            Ok(Some(deadline)) => calls.deadline = deadline,
            Ok(None) | Err(_) => {}
        }
    }

    /// `[provide.NAME]` or `[auth.NAME]`. Answers with every name, also of sections that are wrong otherwise: a reference to
    /// one of those is no mistake of its own.
    fn all_named(
        &mut self,
        entry: Entry,
        section: &str,
        sections: &mut Vec<ProvideSection>,
    ) -> Vec<String> {
        let Value::Table(table) = entry.item.value else {
            let found = entry.item.value.described();
            let message = format!("expected sections such as [{section}.users], found {found}");
            self.problem(entry.at, section, message);
            return Vec::new();
        };
        self.count(table.entries.len(), entry.at, section);
        let mut names = Vec::new();
        for entry in table.entries.into_iter().take(MAX_SECTIONS) {
            names.push(entry.key.clone());
            sections.extend(self.named(entry, section));
        }
        names
    }

    fn named(&mut self, entry: Entry, section: &str) -> Option<ProvideSection> {
        let name = entry.key.clone();
        let path = format!("{section}.{}", step(&name));
        if path.contains('"') {
            let message = format!(
                "{} is no name for such a section; expected at most 64 letters, digits, `-` and `_`",
                quoted(&name),
            );
            self.problem(entry.at, &path, message);
        }
        let expected = format!("a section such as [{section}.users]");
        let options = self.section(entry, &expected, path, &["kind"])?;
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

    /// Answers whether the file tried to run something.
    fn all_run(&mut self, entry: Entry, run: &mut Vec<RunSection>) -> bool {
        let Value::List(items) = entry.item.value else {
            let found = entry.item.value.described();
            let message = format!("expected [[run]] in double brackets, found {found}");
            self.problem(entry.at, "run", message);
            return true;
        };
        self.count(items.len(), entry.at, "run");
        let any = !items.is_empty();
        for item in items.into_iter().take(MAX_SECTIONS) {
            run.extend(self.child(item));
        }
        any
    }

    fn child(&mut self, item: Item) -> Option<RunSection> {
        let entry = Entry {
            key: "run".to_owned(),
            at: item.at,
            item,
        };
        let mut options = self.section(entry, "[[run]]", "run".to_owned(), &[])?;
        let before = self.problems.count();
        options.check(RUN_OPTIONS, self.problems);
        if self.problems.count() > before {
            return None;
        }
        RunSection::read(options, &mut |problem| self.problems.push(problem))
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
            self.problems.push_with(|| {
                let names: Vec<&str> = provided.iter().map(String::as_str).collect();
                options.problem("what", unknown("provider", what, &names))
            });
        }
        let (what, protocols, endpoints) = (what?, protocols?, endpoints?);
        let mut seen = BTreeSet::new();
        for protocol in &protocols {
            if !seen.insert(protocol.value.as_str()) {
                let message = format!("{} is named twice", quoted(&protocol.value));
                let problem = options.problem_at("as", protocol.at, message);
                self.problems.push(problem);
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
