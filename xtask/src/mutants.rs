//! `cargo xtask mutants`: plants known defects, one at a time, in a copy of the tree, and counts those that the tests
//! notice. Must not touch the tree itself. The defects stand in `xtask/mutants.txt`.

use crate::cargo::Workspace;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// What has to notice a defect, one after the other and the quick ones first: the tests that need nothing but Rust, by
/// what is built and which of it is run.
const TESTS: &[(&[&str], &[&str])] = &[
    (CORE, &["--skip", "million", "--skip", "under_"]),
    (CORE, &["--skip", "million", "under_"]),
    (&["-p", "tress-sim", "--lib", "--tests"], &[]),
];
/// Its tests of a million of something are left out: they take the most time and look only at recursion and memory.
const CORE: &[&str] = &["-p", "tress-core", "--lib"];
/// A defect that makes the tests go on for longer than this has been noticed, too. Seconds.
const PATIENCE_SECONDS: &str = "300";
/// A defect that makes the tests ask for more memory than this has been noticed, too. Bytes of address space.
const MEMORY: &str = "--as=8589934592";
/// How many of a hundred have to be caught.
const LEAST_PERCENT: usize = 85;

/// One defect: a place in a file that is there exactly once, and what stands there instead.
#[derive(Debug, PartialEq)]
struct Mutant {
    file: String,
    old: String,
    new: String,
}

/// What came of a defect.
enum Outcome {
    /// By whom.
    Caught(String),
    Survived,
    /// The list is wrong: no test could catch it.
    DoesNotCompile,
}

/// Plants those whose file or text contains one of `parts`; without any, all.
pub(crate) fn run(workspace: &Workspace, parts: &[String]) -> Result<String, String> {
    let list = workspace.root.join("xtask").join("mutants.txt");
    let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mutants = parse(&text)?;
    let wanted = |mutant: &&Mutant| {
        let shown = mutant.shown();
        parts.is_empty() || parts.iter().any(|part| shown.contains(part))
    };
    let mutants: Vec<&Mutant> = mutants.iter().filter(wanted).collect();
    if mutants.is_empty() {
        return Err("there is no such defect in mutants.txt".into());
    }
    let copy = workspace.target.join("mutants");
    let tree = copy_tree(&workspace.root, &copy)?;
    println!("the tests without a defect");
    if !matches!(outcome(&tree, &copy)?, Outcome::Survived) {
        return Err("the tests fail without any defect".into());
    }
    let (mut survivors, mut broken) = (Vec::new(), Vec::new());
    for (index, mutant) in mutants.iter().enumerate() {
        let start = Instant::now();
        let told = match plant(&tree, &copy, mutant)? {
            Outcome::Caught(by) => format!("caught ({by})"),
            Outcome::Survived => {
                survivors.push(mutant.shown());
                "SURVIVED".to_owned()
            }
            Outcome::DoesNotCompile => {
                broken.push(mutant.shown());
                "DOES NOT COMPILE".to_owned()
            }
        };
        let (number, count) = (index + 1, mutants.len());
        let (seconds, shown) = (start.elapsed().as_secs(), mutant.shown());
        println!("{number}/{count} {told} in {seconds} s: {shown}");
    }
    for survivor in &survivors {
        println!("survived: {survivor}");
    }
    if !broken.is_empty() {
        return Err(format!("these do not compile: {}", broken.join(", ")));
    }
    let (count, caught) = (mutants.len(), mutants.len() - survivors.len());
    let summary = format!("{caught} of {count} defects were caught");
    if caught * 100 < count * LEAST_PERCENT {
        return Err(format!("{summary}, which is less than {LEAST_PERCENT} %"));
    }
    Ok(summary)
}

impl Mutant {
    fn shown(&self) -> String {
        format!("{}: `{}` -> `{}`", self.file, self.old, self.new)
    }
}

/// Blocks of three lines: the file, `- ` and what is there, `+ ` and what is planted. Everything else is a comment.
fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, file)) = lines.next() {
        if file.is_empty() || file.starts_with('#') {
            continue;
        }
        let mut part = |mark: &str| {
            let line = lines.next().map(|(_, line)| line);
            let part = line.and_then(|line| line.strip_prefix(mark));
            part.map(str::to_owned)
                .ok_or_else(|| format!("mutants.txt:{}: expected `{mark}` below", number + 1))
        };
        mutants.push(Mutant {
            old: part("- ")?,
            new: part("+ ")?,
            file: file.to_owned(),
        });
    }
    Ok(mutants)
}

/// The files that git knows, in a directory of their own.
fn copy_tree(root: &Path, to: &Path) -> Result<PathBuf, String> {
    let tree = to.join("tree");
    let failed = |error: std::io::Error| format!("copying the tree: {error}");
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(failed)?;
    }
    fs::create_dir_all(&tree).map_err(failed)?;
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output();
    let listed = listed.map_err(failed)?.stdout;
    for name in String::from_utf8_lossy(&listed).split_terminator('\0') {
        let (from, place) = (root.join(name), tree.join(name));
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        if from.is_file() {
            fs::copy(from, place).map_err(failed)?;
        }
    }
    Ok(tree)
}

/// Plants one defect, and takes it out again.
fn plant(tree: &Path, copy: &Path, mutant: &Mutant) -> Result<Outcome, String> {
    let path = tree.join(&mutant.file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", mutant.file))?;
    let places = text.matches(&mutant.old).count();
    if places != 1 {
        return Err(format!("{}: it is there {places} times", mutant.shown()));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", mutant.file);
    fs::write(&path, text.replacen(&mutant.old, &mutant.new, 1)).map_err(failed)?;
    let outcome = outcome(tree, copy);
    fs::write(&path, text).map_err(failed)?;
    outcome
}

/// Builds and runs the tests, up to the first that fail. Only the running is cut off: a build takes as long as it takes.
fn outcome(tree: &Path, copy: &Path) -> Result<Outcome, String> {
    let cargo = |mut command: Command, built: &[&str]| {
        command
            .args(["test", "--quiet"])
            .args(built)
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .stdin(Stdio::null());
        command
    };
    let failed = |error: std::io::Error| format!("cargo does not start: {error}");
    for (built, run) in TESTS {
        let mut build = cargo(Command::new("cargo"), built);
        let status = build.arg("--no-run").output().map_err(failed)?.status;
        if !status.success() {
            return Ok(Outcome::DoesNotCompile);
        }
        let mut limits = Command::new("timeout");
        limits.args(["--kill-after=10", PATIENCE_SECONDS]);
        limits.args(["prlimit", MEMORY, "cargo"]);
        let ran = cargo(limits, built).arg("--").args(*run).output();
        let ran = ran.map_err(failed)?;
        if !ran.status.success() {
            let by = failures(&String::from_utf8_lossy(&ran.stdout));
            return Ok(Outcome::Caught(by));
        }
    }
    Ok(Outcome::Survived)
}

/// How many tests failed, and one of them.
fn failures(output: &str) -> String {
    let names = output.lines().filter_map(|line| line.strip_prefix("---- "));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    match (names.len(), names.first()) {
        (1, Some(name)) => (*name).to_owned(),
        (count, Some(name)) => format!("{name} and {} more", count - 1),
        (_, None) => "they do not end, or all end at once".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let mutant = Mutant {
            file: "a.rs".into(),
            old: "a < b".into(),
            new: "a <= b".into(),
        };
        let text = "# a comment\n\na.rs\n- a < b\n+ a <= b\n";
        assert_eq!(parse(text), Ok(vec![mutant]));
        let bad = parse("a.rs\n+ b\n");
        assert_eq!(bad, Err("mutants.txt:1: expected `- ` below".into()));
        assert!(parse("a.rs\n- b\n").is_err());
    }

    #[test]
    fn the_tests_that_fail_are_named() {
        let output = "---- a::b stdout ----\n\nfailures:\n    a::b\n";
        assert_eq!(failures(output), "a::b");
        let more = format!("{output}---- c stdout ----\n");
        assert_eq!(failures(&more), "a::b and 1 more");
        assert_eq!(failures(""), "they do not end, or all end at once");
    }

    #[test]
    fn every_defect_of_the_list_has_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let list = fs::read_to_string(root.join("xtask").join("mutants.txt"));
        let mutants = parse(&list.expect("it is there")).expect("it is well formed");
        assert!(mutants.len() >= 60, "{}", mutants.len());
        for mutant in mutants {
            let text = fs::read_to_string(root.join(&mutant.file)).expect("it is there");
            assert_eq!(text.matches(&mutant.old).count(), 1, "{}", mutant.shown());
            assert_ne!(mutant.old, mutant.new);
        }
    }
}
