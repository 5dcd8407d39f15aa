//! `cargo xtask tidy`: the project's style as a test. Reads the files and asks the rules.
//! Must not know a rule: `layers` holds those about manifests, `source` those about Rust files, `text` those about any.

mod layers;
mod source;
mod text;

use crate::cargo::Workspace;
use std::{fs, io, process::Command};

/// Checks every rule and prints each problem as `path:line: text`.
pub(crate) fn run(workspace: &Workspace) -> Result<String, String> {
    let mut problems = layers::edges(&workspace.packages);
    problems.extend(layers::fenced(&workspace.packages));
    let architecture =
        fs::read_to_string(workspace.root.join("ARCHITECTURE.md")).unwrap_or_default();
    problems.extend(layers::named_in(&architecture, &workspace.packages));

    let files = files(workspace)?;
    for (path, content) in &files {
        problems.extend(text::machine_paths(path, content));
        problems.extend(text::trailing_space(path, content));
        problems.extend(source::module_doc(path, content));
        problems.extend(source::length(path, content));
        problems.extend(source::banned_words(path, content, source::EXCEPTIONS));
    }
    for package in &workspace.packages {
        for root in &package.roots {
            let content = files
                .iter()
                .find(|(path, _)| path == root)
                .map_or("", |(_, content)| content);
            problems.extend(source::forbids_unsafe(&package.name, root, content));
        }
    }

    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(format!(
            "{} crates, {} files",
            workspace.packages.len(),
            files.len()
        )),
        count => Err(format!("problems: {count}")),
    }
}

/// Every text file that is, or would be, in the repository, with its content.
fn files(workspace: &Workspace) -> Result<Vec<(String, String)>, String> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .current_dir(&workspace.root)
        .output()
        .map_err(|e| format!("git does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "git ls-files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&output.stdout).split_terminator('\0') {
        match fs::read_to_string(workspace.root.join(path)) {
            Ok(content) => files.push((path.to_owned(), content)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {} // not text
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}    // deleted, not yet committed
            Err(e) => return Err(format!("{path}: {e}")),
        }
    }
    Ok(files)
}

/// Whether `text` holds `word` with no letter, digit or `extra` character right before it.
fn starts_word(text: &str, word: &str, extra: &[char]) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || extra.contains(&c)))
}
