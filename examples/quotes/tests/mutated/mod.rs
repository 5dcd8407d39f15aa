//! The files that the repository and its guide show, made wrong in hundreds of ways: each is refused where it is wrong, with
//! the key or what stands there, and the name that was meant where one is near; and nothing has begun by then.
//!
//! A rule makes what cannot be right, so one that is taken fails the test. Beside them files are damaged at random, by fixed
//! seeds: such a one may be right still, but is taken or refused like any other, without a panic.

use super::{program, said};
use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};
use tress::{
    Reactor,
    app::{Application, Registry, config::Problems},
};
use tress_quotes as _; // its kinds

/// A file that is right.
struct Base {
    name: String,
    text: String,
}

/// A wrong one, and what must be said of it.
struct Mutant {
    rule: &'static str,
    bytes: Vec<u8>,
    /// Where it is wrong; 0 for nowhere in particular.
    line: usize,
    /// In what is said of that line, or after `did you mean`.
    words: Vec<String>,
}

/// Numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// Where the files are that the files name; gone after the test.
struct Place {
    directory: PathBuf,
}

impl Place {
    fn new(test: &str) -> Self {
        let name = format!("tress-mutated-{test}-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("quotes"), directory.join("quotes")).unwrap();
        fs::write(directory.join("users"), "moshez: Happy\n").unwrap();
        fs::write(directory.join("staff.passwd"), "").unwrap();
        fs::write(
            directory.join("robot.token"),
            "rather long and not guessed\n",
        )
        .unwrap();
        said(&["cert", "--out", directory.to_str().unwrap()]);
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("app.toml")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The examples, and each block of the guide with what it needs beside it.
fn bases(place: &Place) -> Vec<Base> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut bases = Vec::new();
    for name in ["examples/finger/finger.toml", "examples/quotes/quotes.toml"] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let name = name.to_owned();
        bases.push(Base { name, text });
    }
    let guide = fs::read_dir(root.join("crates/tress/guide")).unwrap();
    let mut pages: Vec<PathBuf> = guide.map(|page| page.unwrap().path()).collect();
    pages.sort();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let blocks = text.split("\n```toml\n").skip(1);
        for (number, block) in blocks.enumerate() {
            let mut text = block.split("\n```").next().unwrap().to_owned() + "\n";
            if !text.contains("[provide.") {
                text += "[provide.users]\nkind = \"finger.memory\"\n";
            }
            if !text.contains("[[serve]]") {
                text += "[[serve]]\nwhat = \"users\"\nas = \"finger\"\nat = \"tcp:79\"\n";
            }
            // What endpoints name is not relative to the file.
            let here = format!("{}/", place.directory.display());
            let text = text.replace("unix:/run/", &format!("unix:{here}"));
            let text = text.replace("cert.pem", &format!("{here}cert.pem"));
            let text = text.replace("key.pem", &format!("{here}key.pem"));
            let name = format!("{}.{number}", page.file_name().unwrap().display());
            bases.push(Base { name, text });
        }
    }
    bases
}

/// The same check as that of `tress check`.
fn check(
    file: &Path,
    bytes: &[u8],
    registry: &Registry,
    reactor: &Reactor,
) -> Result<(), Problems> {
    let name = file.to_str().unwrap();
    Application::parse(name, bytes, registry, reactor).map(drop)
}

/// What is on a line that has a key: the key, and its value without a comment.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.split_once(" = ")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || !key.chars().all(plain) {
        return None;
    }
    let value = rest.split_once("  #").map_or(rest, |(value, _)| value);
    Some((key, value.trim_end()))
}

/// Two letters of it in the wrong order, or one of them twice: no name is made of another so.
fn misspelt(name: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = dice.below(letters.len() - 1);
    if letters[at] == letters[at + 1] || dice.below(3) == 0 {
        letters.insert(at, letters[at]);
    } else {
        letters.swap(at, at + 1);
    }
    letters.into_iter().collect()
}

struct Maker<'b> {
    lines: Vec<&'b str>,
    dice: Dice,
    made: Vec<Mutant>,
}

impl<'b> Maker<'b> {
    fn all(base: &'b Base) -> Vec<Mutant> {
        let mut maker = Self {
            lines: base.text.lines().collect(),
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            made: Vec::new(),
        };
        for number in 0..maker.lines.len() {
            let line = maker.lines[number];
            if line.starts_with('[') {
                maker.header(number, line);
            } else if let Some((key, value)) = key_and_value(line) {
                maker.key(number, key, value);
                maker.value(number, key, value);
                maker.string(number, key, value);
                maker.endpoint(number, key, value);
                maker.syntax(number, key, value);
            }
        }
        maker.made
    }

    /// With other lines in place of one.
    fn push(&mut self, rule: &'static str, number: usize, with: &str, words: &[&str]) {
        self.push_at(rule, number, with, number + 1, words);
    }

    fn push_at(
        &mut self,
        rule: &'static str,
        number: usize,
        with: &str,
        line: usize,
        words: &[&str],
    ) {
        let mut lines = self.lines.clone();
        lines[number] = with;
        self.made.push(Mutant {
            rule,
            bytes: (lines.join("\n") + "\n").into_bytes(),
            line,
            words: words.iter().map(|it| (*it).to_owned()).collect(),
        });
    }

    fn meant(name: &str) -> String {
        format!("did you mean `{name}`?")
    }

    fn header(&mut self, number: usize, line: &str) {
        let head = line.split_once(']').unwrap().0.trim_start_matches('[');
        let first = head.split('.').next().unwrap();
        let wrong = misspelt(first, &mut self.dice);
        let other = line.replacen(first, &wrong, 1);
        self.push(
            "a section is misspelt",
            number,
            &other,
            &[&wrong, &Self::meant(first)],
        );
        let open = format!("[{head}");
        self.push("a header is not closed", number, &open, &[]);
        if line.starts_with("[[") {
            let single = format!("[{head}]");
            // The next of them makes it a table twice.
            self.made.extend(self.only_section(number, &single));
        } else {
            let twice = format!("[{head}]\n[{head}]");
            self.push_at(
                "a table twice",
                number,
                &twice,
                number + 2,
                &["duplicate key"],
            );
            let double = format!("[[{head}]]");
            self.push(
                "a table as a list",
                number,
                &double,
                &["expected", "found a list"],
            );
        }
        let beyond = format!("[{head}.\"a b\".c]\nx = 1\n{line}");
        self.push_at("a section in a section", number, &beyond, 0, &[]);
    }

    /// `[serve]` or `[run]`, and no other section of that name.
    fn only_section(&self, number: usize, header: &str) -> Option<Mutant> {
        let list = format!("[{header}]");
        let same = self.lines.iter().filter(|line| line.starts_with(&list));
        (same.count() == 1).then(|| {
            let mut lines = self.lines.clone();
            lines[number] = header;
            Mutant {
                rule: "a list as a table",
                bytes: lines.join("\n").into_bytes(),
                line: number + 1,
                words: vec![list.clone()],
            }
        })
    }

    fn key(&mut self, number: usize, key: &str, value: &str) {
        for _ in 0..2 {
            let wrong = misspelt(key, &mut self.dice);
            let line = format!("{wrong} = {value}");
            self.push(
                "a key is misspelt",
                number,
                &line,
                &[&wrong, &Self::meant(key)],
            );
        }
        let line = format!("{key} = {value}\n{key} = {value}");
        let words = format!("duplicate key `{key}`");
        self.push_at("a key twice", number, &line, number + 2, &[&words]);
        let line = format!("{key} = {value}\nzebra = {value}");
        self.push_at(
            "a key that nothing has",
            number,
            &line,
            number + 2,
            &["unknown key `zebra`"],
        );
        if ["kind", "what", "as", "at", "path"].contains(&key) && !self.is_control(number) {
            let header = self.header_of(number);
            let words = format!("missing key `{key}`");
            self.push_at(
                "a required key is missing",
                number,
                "",
                header + 1,
                &[&words],
            );
            let line = format!("# {key} = {value}");
            self.push_at(
                "a required key is a comment",
                number,
                &line,
                header + 1,
                &[&words],
            );
        }
    }

    fn header_of(&self, number: usize) -> usize {
        let mut before = self.lines[..number].iter();
        before.rposition(|line| line.starts_with('[')).unwrap()
    }

    fn is_control(&self, number: usize) -> bool {
        self.lines[self.header_of(number)].starts_with("[control]")
    }

    fn value(&mut self, number: usize, key: &str, value: &str) {
        for other in ["1.5", "1979-05-27", "{ zzz = 1 }", "[[1]]", "true", "nan"] {
            let line = format!("{key} = {other}");
            self.push("a value of a wrong type", number, &line, &[key, "expected"]);
        }
        let line = format!("{key} =");
        self.push(
            "a value is missing",
            number,
            &line,
            &["the value is missing"],
        );
        if value.parse::<u64>().is_ok() {
            // Of these nothing is something, too.
            let least = ["keep", "rate"].contains(&key).then_some("-2");
            for other in ["-1", "99999999999999999999", least.unwrap_or("0")] {
                let line = format!("{key} = {other}");
                self.push("a number out of range", number, &line, &[key]);
            }
            let line = format!("{key} = \"{value}\"");
            self.push("a number in quotes", number, &line, &[key, "expected"]);
        }
        let text = value.trim_matches('"');
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        if value.starts_with('"') && digits.parse::<u64>().is_ok() && digits != text {
            for other in [
                digits,
                &format!("{digits}sec"),
                &format!("{digits} s"),
                &format!("-{text}"),
                &format!("{digits}.5s"),
                "99999999999h",
                "",
            ] {
                let line = format!("{key} = \"{other}\"");
                self.push("a duration that is none", number, &line, &[key]);
            }
            let line = format!("{key} = {digits}");
            self.push(
                "a duration without a unit",
                number,
                &line,
                &[key, "expected"],
            );
        }
        if value.contains("robot = {") {
            for other in [
                "{ robot = \"hunter2hunter2\" }",
                "{ robot = { token = \"hunter2hunter2\" } }",
                "{ robot = { file = \"robot.token\", env = \"HOME\" } }",
                "{ robot = {} }",
            ] {
                let line = format!("{key} = {other}");
                self.push("a secret in the clear", number, &line, &["robot"]);
            }
        }
    }

    fn string(&mut self, number: usize, key: &str, value: &str) {
        let Some(text) = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
        else {
            return;
        };
        if ["kind", "what", "auth", "as"].contains(&key) {
            let wrong = misspelt(text, &mut self.dice);
            let line = format!("{key} = \"{wrong}\"");
            self.push(
                "a name is misspelt",
                number,
                &line,
                &[&wrong, &Self::meant(text)],
            );
            let line = format!("{key} = \"zebra\"");
            self.push(
                "a name that nothing has",
                number,
                &line,
                &["unknown", "`zebra`"],
            );
        }
        if ["kind", "what", "auth", "as", "at", "path", "name"].contains(&key) {
            let line = format!("{key} = \"\"");
            self.push("a text is empty", number, &line, &[key]);
        }
        if key == "as" {
            let line = format!("as = [{value}, {value}]");
            self.push("a protocol twice", number, &line, &["named twice"]);
            self.push(
                "a protocol beside others",
                number,
                "as = [\"http\", \"lines\"]",
                &["as"],
            );
            self.push("no protocol at all", number, "as = []", &["as"]);
        }
        if key == "name" {
            self.push(
                "a name with control characters",
                number,
                "name = \"a\\u0007\"",
                &["name"],
            );
        }
    }

    fn endpoint(&mut self, number: usize, key: &str, value: &str) {
        let Some((before, rest)) = value.split_once("tcp:") else {
            return;
        };
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        for port in ["70000", "65536", "x", "-1", "", "8 0", "0x50"] {
            let line = format!("{key} = {before}tcp:{port}{digits}");
            self.push("a port that is none", number, &line, &[key, "port"]);
        }
        for (kind, words) in [
            ("tpc", "did you mean `tcp`?"),
            ("pigeon", "unknown"),
            ("", "expected a kind first"),
            ("TCP", "did you mean `tcp`?"),
        ] {
            let line = format!("{key} = {before}{kind}:{rest}");
            self.push("an unknown endpoint", number, &line, &[key, words]);
        }
        if rest.contains("interface=") {
            for (option, words) in [
                ("interfcae=", "did you mean `interface`?"),
                ("zebra=", "zebra"),
                ("interface=not.an.address", "not.an.address"),
                ("interface=256.0.0.1#", "256.0.0.1"),
            ] {
                let rest = rest.replacen("interface=", option, 1);
                let line = format!("{key} = {before}tcp:{rest}");
                self.push(
                    "a wrong option of an endpoint",
                    number,
                    &line,
                    &[key, words],
                );
            }
        }
        let line = format!("{key} = {before}tcp:80:80:80:80{digits}");
        self.push("an endpoint with too much", number, &line, &[key]);
    }

    fn syntax(&mut self, number: usize, key: &str, value: &str) {
        if let Some(end) = value.rfind('"') {
            let (open, after) = value.split_at(end);
            let line = format!("{key} = {open}{}", &after[1..]);
            self.push("a text is not closed", number, &line, &[]);
            let cut = self.lines[..number].join("\n") + &format!("\n{key} = {open}");
            self.made.push(Mutant {
                rule: "the file ends in a text",
                bytes: cut.into_bytes(),
                line: number + 1,
                words: vec![],
            });
            for odd in ["\u{1}", "\u{0}", "\u{1b}[2J", "\u{7f}"] {
                let line = format!("{key} = {open}{odd}{after}");
                self.push("a control character", number, &line, &[]);
            }
            let line = format!("{key} = {open}\\q{after}");
            self.push("an unknown escape", number, &line, &[]);
        }
        if let Some(bare) = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
            let line = format!("{key} = {bare}");
            let is_duration = bare.starts_with(|c: char| c.is_ascii_digit());
            let words: &[&str] = if is_duration { &[] } else { &["quotes"] };
            self.push("a text without quotes", number, &line, words);
        }
        let line = format!("{key} {value}");
        self.push("no equals sign", number, &line, &[]);
        let line = format!("{key} = {value} {value}");
        self.push("two values", number, &line, &[]);
        let line = format!("{key} = [{value}");
        self.push_at("a list is not closed", number, &line, 0, &[]);
        let cut = self.lines[..number].join("\n") + &format!("\n{key} =");
        self.made.push(Mutant {
            rule: "the file ends after a key",
            bytes: cut.into_bytes(),
            line: number + 1,
            words: vec!["the value is missing".to_owned()],
        });
        let mut bytes = self.lines[..number].join("\n").into_bytes();
        bytes.extend_from_slice(b"\nname = \"\xff\"\n");
        self.made.push(Mutant {
            rule: "bytes that are no text",
            bytes,
            line: number + 1,
            words: vec!["UTF-8".to_owned()],
        });
    }
}

/// What is wrong with what was said, if it is.
fn judge(
    mutant: &Mutant,
    outcome: std::thread::Result<Result<(), Problems>>,
) -> Result<(), String> {
    let problems = match outcome {
        Err(_) => return Err("it panics".to_owned()),
        Ok(Ok(())) => return Err("it is taken".to_owned()),
        Ok(Err(problems)) => problems,
    };
    let report = problems.to_string();
    let lines = mutant.bytes.split(|byte| *byte == b'\n').count();
    if report.chars().any(|c| c.is_control() && c != '\n') || report.contains("hunter2") {
        return Err(format!("it shows what it must not: {report:?}"));
    }
    for problem in problems.list() {
        let whole = problem.line == 0 && problem.message.starts_with("nothing to serve");
        if problem.message.is_empty() || !(whole || (1..=lines).contains(&problem.line)) {
            return Err(format!("no line, or no words: {report}"));
        }
    }
    let there: Vec<String> = problems
        .list()
        .iter()
        .filter(|problem| mutant.line == 0 || problem.line == mutant.line)
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect();
    if there.is_empty() {
        return Err(format!("nothing is said of line {}: {report}", mutant.line));
    }
    let there = there.join("\n");
    match mutant.words.iter().find(|words| !there.contains(*words)) {
        Some(words) => Err(format!(
            "line {} is told of without {words:?}: {report}",
            mutant.line
        )),
        None => Ok(()),
    }
}

/// A few bytes are others, gone, or there twice.
fn damaged(text: &str, dice: &mut Dice) -> Vec<u8> {
    const ODD: &[u8] = b"[]{}=\"'#,.\n\r\t \\\x00\x01\x7f\xff\xc3:-09az_";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, ODD[dice.below(ODD.len())]),
            2 => bytes[at] = ODD[dice.below(ODD.len())],
            3 => bytes.truncate(at.max(1)),
            _ => {
                let end = (at + dice.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn every_wrong_file_is_refused_where_it_is_wrong() {
    let place = Place::new("check");
    let mut registry = Registry::plugged().unwrap();
    registry.set_log(Arc::new(|_, _| Ok(()))); // `tress check` knows how
    let reactor = tress::reactor().unwrap();
    registry.install_endpoints(&reactor);
    let begun = |reactor: &Reactor| {
        let now = reactor.statistics();
        let at = (now.connections, now.timers, now.tasks, now.turns);
        (at, now.processes, now.threads, now.jobs_waiting)
    };
    let (file, at_rest) = (place.file(), begun(&reactor));
    let (mut seen, mut rules, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut dice = Dice(7);
    let (mut damages, mut taken, mut right) = (0, 0, 0);
    for base in bases(&place) {
        if let Err(problems) = check(&file, base.text.as_bytes(), &registry, &reactor) {
            // Nobody passes a socket to a test.
            assert!(base.text.contains("systemd:"), "{}: {problems}", base.name);
            continue;
        }
        right += 1;
        for mutant in Maker::all(&base) {
            if !seen.insert(mutant.bytes.clone()) {
                continue;
            }
            rules.insert(mutant.rule);
            let checked = AssertUnwindSafe(|| check(&file, &mutant.bytes, &registry, &reactor));
            if let Err(why) = judge(&mutant, catch_unwind(checked)) {
                wrong.push(format!("{}, {}: {why}", base.name, mutant.rule));
            }
        }
        for _ in 0..200 {
            let bytes = damaged(&base.text, &mut dice);
            damages += 1;
            let checked = AssertUnwindSafe(|| check(&file, &bytes, &registry, &reactor));
            match catch_unwind(checked) {
                Ok(Ok(())) => taken += 1,
                Ok(Err(problems)) => assert!(!problems.to_string().is_empty()),
                Err(_) => wrong.push(format!("it panics: {:?}", String::from_utf8_lossy(&bytes))),
            }
        }
    }
    assert_eq!(begun(&reactor), at_rest, "something has begun");
    println!(
        "{} wrong files by {} rules, {damages} damaged ones, of which {taken} are right still",
        seen.len(),
        rules.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        seen.len(),
        wrong.join("\n")
    );
    assert!(right >= 6 && seen.len() >= 200 && rules.len() >= 30 && damages > 2 * taken);
}

/// The program itself: `run` ends with 2, says what `check` says, and has opened nothing that is listened at or connected.
#[test]
fn the_program_opens_nothing_for_a_wrong_file() {
    let place = Place::new("run");
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/quotes.toml")).unwrap();
    let right = example.replace("[app]", "[control]\n\n[app]");
    let last = right.lines().last().unwrap();
    for (from, to, line, words) in [
        (last, "at = \"tcp:70000\"", "serve.at", "port"),
        (
            "what = \"quotes\"\nas = \"amp\"",
            "what = \"qoutes\"\nas = \"amp\"",
            "serve.what",
            "did you mean `quotes`?",
        ),
        ("as = \"pb\"", "as = \"bp\"", "serve.as", "unknown protocol"),
        ("kind =", "knid =", "provide.quotes", "did you mean `kind`?"),
        ("path = \"quotes\"", "path = \"quotes", "app.toml:", ""),
    ] {
        let text = right.replacen(from, to, 1);
        assert_ne!(text, right, "{from}");
        fs::write(place.file(), text).unwrap();
        let file = place.file();
        let file = file.to_str().unwrap();
        let checked = program(&["check", file]).output().unwrap();
        let mut traced = std::process::Command::new("strace");
        let log = place.directory.join("strace");
        traced.args(["-f", "-qq", "-e", "trace=bind,listen,connect,accept4", "-o"]);
        traced
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_tress-quotes"))
            .args(["run", file]);
        let ran = match traced.output() {
            Ok(ran) if log.exists() => {
                let calls = fs::read_to_string(&log).unwrap();
                assert_eq!(calls, "", "{to}");
                ran
            }
            _ => {
                println!("skipped: strace cannot be run here");
                program(&["run", file]).output().unwrap()
            }
        };
        for output in [&checked, &ran] {
            assert_eq!(output.status.code(), Some(2), "{to}");
        }
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(said, String::from_utf8(checked.stderr).unwrap());
        assert!(said.contains(line) && said.contains(words), "{said}");
        assert!(!place.directory.join("app.control").exists());
    }
}
