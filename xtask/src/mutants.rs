//! `cargo xtask mutants`: plants known defects, one at a time, in a copy of the tree, and counts those that the tests
//! notice. Must not touch the tree itself. The defects stand in `xtask/mutants.txt`.

use crate::cargo::{self, Workspace};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// What has to notice a defect: the tests that need nothing but Rust.
const TESTS: &[&str] = &[
    "-p",
    "tress-core",
    "-p",
    "tress-sim",
    "--lib",
    "--test",
    "suite",
];
/// A defect that makes the tests go on for longer than this has been noticed, too. Seconds.
const PATIENCE_SECONDS: &str = "300";
/// How many of a hundred have to be caught.
const LEAST_PERCENT: usize = 85;

/// One defect: a place in a file that is there exactly once, and what stands there instead.
#[derive(Debug, PartialEq)]
struct Mutant {
    file: String,
    old: String,
    new: String,
}

/// Plants those whose file or text contains `filter`, or all.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<String, String> {
    let list = workspace.root.join("xtask").join("mutants.txt");
    let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mutants = parse(&text)?;
    let wanted = |mutant: &&Mutant| {
        filter.is_none_or(|filter| mutant.file.contains(filter) || mutant.old.contains(filter))
    };
    let mutants: Vec<&Mutant> = mutants.iter().filter(wanted).collect();
    let copy = workspace.target.join("mutants");
    let tree = copy_tree(&workspace.root, &copy)?;
    println!("the tests without a defect");
    if caught(&tree, &copy)? {
        return Err("the tests fail without any defect".into());
    }
    let mut survivors = Vec::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let start = Instant::now();
        let is_caught = plant(&tree, &copy, mutant)?;
        let outcome = if is_caught { "caught" } else { "SURVIVED" };
        let (number, count) = (index + 1, mutants.len());
        let seconds = start.elapsed().as_secs();
        println!(
            "{number}/{count} {outcome} in {seconds} s: {}",
            mutant.shown()
        );
        if !is_caught {
            survivors.push(mutant.shown());
        }
    }
    let (count, caught) = (mutants.len(), mutants.len() - survivors.len());
    for survivor in &survivors {
        println!("survived: {survivor}");
    }
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
fn plant(tree: &Path, copy: &Path, mutant: &Mutant) -> Result<bool, String> {
    let path = tree.join(&mutant.file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", mutant.file))?;
    let places = text.matches(&mutant.old).count();
    if places != 1 {
        return Err(format!("{}: it is there {places} times", mutant.shown()));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", mutant.file);
    fs::write(&path, text.replacen(&mutant.old, &mutant.new, 1)).map_err(failed)?;
    let caught = caught(tree, copy);
    fs::write(&path, text).map_err(failed)?;
    caught
}

/// Whether the tests fail, or do not end. What does not compile is no defect that a test could catch.
fn caught(tree: &Path, copy: &Path) -> Result<bool, String> {
    let cargo = |line: &[&str]| {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", PATIENCE_SECONDS, "cargo"])
            .args(line)
            .args(TESTS)
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    cargo::run(&mut cargo(&["test", "--quiet", "--no-run"]))
        .map_err(|why| format!("it does not compile: {why}"))?;
    let status = cargo(&["test", "--quiet"]).status();
    Ok(!status.map_err(|error| error.to_string())?.success())
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
