//! The rules for Rust files: a module doc, a length, no unsafe, no banned words.
//! Must not know where files come from: each rule sees one path and one text. Function length is clippy's job.

/// Where our Rust files are.
const CODE: &[&str] = &["crates/", "bench/", "xtask/", "examples/", "fuzz/"];

/// The longest a file may be, its tests not counted.
const FILE_LINES_MAX: usize = 800;

/// The crates whose root does not forbid unsafe: the doors to the operating system and to C, and what nobody ships.
const UNSAFE_CRATES: &[&str] = &[
    "tress-os",
    "tress-c",
    "tress-bench",
    "tress-testee",
    "xtask",
];

/// Words that code below crates/ does not use, and why.
const BANNED: &[(&str, &str)] = &[
    ("todo!(", "finish it, or leave it out"),
    ("unimplemented!(", "finish it, or return an error"),
    ("dbg!(", "a leftover; use tracing"),
    ("#[ignore", "assert today's answer with a note instead"),
    (
        "thread::sleep(",
        "time is an argument; use the manual clock",
    ),
];

/// Where a banned word may stand: path, word, reason.
pub(super) const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// The first line that is not empty says what the file does.
pub(super) fn module_doc(path: &str, content: &str) -> Vec<String> {
    let first = content.lines().find(|line| !line.trim().is_empty());
    if !is_code(path) || first.is_some_and(|line| line.starts_with("//!")) {
        return vec![];
    }
    vec![format!(
        "{path}:1: must start with `//!`: what the file does, and what it must not know"
    )]
}

/// A file has a bounded length; tests do not count.
pub(super) fn length(path: &str, content: &str) -> Vec<String> {
    let is_test = path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests");
    let lines = lines_before_tests(content);
    if !is_code(path) || is_test || lines <= FILE_LINES_MAX {
        return vec![];
    }
    vec![format!(
        "{path}:{lines}: {lines} lines without tests, the limit is {FILE_LINES_MAX}: split the file"
    )]
}

/// No banned word stands outside of a `//` comment.
pub(super) fn banned_words(
    path: &str,
    content: &str,
    exceptions: &[(&str, &str, &str)],
) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_code(path) || !path.starts_with("crates/") {
        return problems;
    }
    for (number, line) in (1..).zip(content.lines()) {
        let code = before_comment(line);
        for (word, why) in BANNED {
            let excepted = exceptions
                .iter()
                .any(|(file, known, _)| *file == path && known == word);
            if super::starts_word(code, word, &['_']) && !excepted {
                problems.push(format!("{path}:{number}: `{word}` is banned: {why}"));
            }
        }
    }
    problems
}

/// The root file of a crate forbids unsafe code.
pub(super) fn forbids_unsafe(package: &str, path: &str, content: &str) -> Vec<String> {
    let forbids = content
        .lines()
        .any(|line| line.starts_with("#![forbid(unsafe_code"));
    if forbids || UNSAFE_CRATES.contains(&package) {
        return vec![];
    }
    vec![format!("{path}:1: must say `#![forbid(unsafe_code)]`")]
}

fn is_code(path: &str) -> bool {
    path.ends_with(".rs") && CODE.iter().any(|dir| path.starts_with(dir))
}

/// How many lines come before a `#[cfg(test)] mod tests { .. }` that ends the file.
fn lines_before_tests(content: &str) -> usize {
    let lines: Vec<&str> = content.trim_end().lines().collect();
    let Some(start) = lines
        .windows(2)
        .position(|pair| pair == ["#[cfg(test)]", "mod tests {"])
    else {
        return lines.len();
    };
    let end = start
        + lines[start..]
            .iter()
            .take_while(|line| **line != "}")
            .count();
    if end + 1 == lines.len() {
        start
    } else {
        lines.len()
    }
}

/// The line up to its `//`, which is no comment after a colon: that is a URL.
fn before_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "crates/core/src/time.rs";

    #[test]
    fn module_docs() {
        assert_eq!(module_doc(FILE, "\n//! Time.\nfn f() {}\n"), [""; 0]);
        assert_eq!(module_doc("book/a.rs", "fn f() {}\n"), [""; 0]);
        assert_eq!(module_doc("crates/core/Cargo.toml", "[package]\n"), [""; 0]);
        for content in ["", "// Time.\n", "#![forbid(unsafe_code)]\n//! Time.\n"] {
            let problems = module_doc(FILE, content);
            assert_eq!(problems.len(), 1, "{content:?}");
            assert!(
                problems[0].starts_with("crates/core/src/time.rs:1: must start with `//!`"),
                "{problems:?}"
            );
        }
    }

    #[track_caller]
    fn check_length(path: &str, content: &str, expect: Option<usize>) {
        let expect = expect.map(|lines| {
            format!("{path}:{lines}: {lines} lines without tests, the limit is 800: split the file")
        });
        assert_eq!(length(path, content), Vec::from_iter(expect));
    }

    #[test]
    fn lengths() {
        let longest = "x\n".repeat(800);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    y\n".repeat(500));
        check_length(FILE, &longest, None);
        check_length(FILE, &format!("{longest}{tests}"), None);
        check_length(FILE, &format!("{longest}z\n"), Some(801));
        check_length(FILE, &format!("z\n{longest}{tests}"), Some(801));
        check_length(FILE, &format!("{longest}{tests}z\n"), Some(1304)); // code after the tests: all counts
        check_length("crates/core/tests/all.rs", &longest.repeat(2), None);
        check_length(
            "crates/core/src/deferred/tests.rs",
            &longest.repeat(2),
            None,
        );
        check_length("book/a.rs", &longest.repeat(2), None);
    }

    #[track_caller]
    fn check_words(path: &str, line: &str, expect: &[&str]) {
        let exceptions = [(
            "crates/os/src/wait.rs",
            "thread::sleep(",
            "it is what the file is for",
        )];
        let problems = banned_words(path, &format!("fn f() {{\n{line}\n}}\n"), &exceptions);
        let words: Vec<_> = problems
            .iter()
            .map(|problem| problem.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(words, expect, "{line}");
        assert!(
            problems
                .iter()
                .all(|problem| problem.starts_with(&format!("{path}:2: "))),
            "{problems:?}"
        );
    }

    #[test]
    fn words() {
        check_words(FILE, "todo!(\"later\")", &["todo!("]);
        check_words(FILE, "    unimplemented!()", &["unimplemented!("]);
        check_words(FILE, "f(dbg!(1), todo!())", &["todo!(", "dbg!("]);
        check_words(FILE, "#[ignore]", &["#[ignore"]);
        check_words(FILE, "#[ignore = \"slow\"]", &["#[ignore"]);
        check_words(FILE, "std::thread::sleep(pause)", &["thread::sleep("]);
        check_words(FILE, "f(\"http://a\", dbg!(1))", &["dbg!("]);
        check_words(FILE, "f() // not todo!()", &[]);
        check_words(FILE, "    /// Never calls thread::sleep().", &[]);
        check_words(FILE, "my_dbg!(1)", &[]);
        check_words("crates/os/src/wait.rs", "thread::sleep(pause)", &[]);
        check_words("crates/os/src/wait.rs", "todo!()", &["todo!("]);
        check_words("bench/src/main.rs", "thread::sleep(pause)", &[]);
    }

    #[test]
    fn unsafe_code() {
        assert_eq!(
            forbids_unsafe("tress-core", FILE, "//! Doc.\n#![forbid(unsafe_code)]\n"),
            [""; 0]
        );
        assert_eq!(forbids_unsafe("tress-os", FILE, "//! Doc.\n"), [""; 0]);
        for content in [
            "",
            "//! Doc.\n",
            "// #![forbid(unsafe_code)]\n",
            "#![deny(unsafe_code)]\n",
        ] {
            let expect = ["crates/core/src/time.rs:1: must say `#![forbid(unsafe_code)]`"];
            assert_eq!(
                forbids_unsafe("tress-core", FILE, content),
                expect,
                "{content:?}"
            );
        }
    }
}
