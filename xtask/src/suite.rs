//! `cargo xtask test`: the one command that says whether the tree is good. Steps run in order; the first failure stops.
//! Must not know the rules of a step: cargo, `tools` and `tidy` do.

use crate::{
    behaviours,
    cargo::{self, Workspace},
    package, sim, tidy,
    tools::{self, Tools},
    works,
};
use std::{ffi::OsStr, process::Command, time::Instant};

/// Runs every step; the answer is the summary, with what could not be installed.
pub(crate) fn run(workspace: &Workspace) -> Result<String, String> {
    let start = Instant::now();
    let tools = step("tools", || {
        let tools = Tools::prepare(tools::TEST, &workspace.target);
        Ok(tools.with_examples(&workspace.target))
    })?;
    let cargo = |name, line: &str, variables: Vec<(&str, &OsStr)>| {
        step(name, || {
            println!("cargo {line}");
            let mut command = workspace.cargo();
            let reports = behaviours::directory(workspace);
            command.env(behaviours::VARIABLE, reports);
            cargo::run(command.args(line.split(' ')).envs(variables))
        })
    };
    cargo("format", "fmt --all --check", vec![])?;
    let clippy = "clippy --workspace --all-targets --locked -- -D warnings";
    cargo("clippy", clippy, vec![])?;
    behaviours::begin(workspace)?;
    cargo("test", "test --workspace --locked", tools.variables())?;
    step("glib", || glib(workspace))?;
    step("behaviours", || behaviours::check(workspace))?;
    step("simulator", || sim::standing(workspace))?;
    step("models", || {
        let mut with = ["loom", "shuttle"].iter();
        with.try_for_each(|with| cargo::run(&mut models(workspace, with)))
    })?;
    let doc = "doc --workspace --no-deps --locked";
    let deny_warnings = ("RUSTDOCFLAGS", OsStr::new("-D warnings"));
    cargo("doc", doc, vec![deny_warnings])?;
    step("publish", || publish(workspace))?;
    step("works", || works::check(workspace))?;
    // The step before has built the program.
    step("package", || package::quick(workspace))?;
    step("tidy", || {
        tidy::run(workspace).map(|summary| println!("{summary}"))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("all steps in {seconds:.1} s{}", tools.skipped()))
}

/// The crate outside of the workspace that needs GLib's headers, where they are.
fn glib(workspace: &Workspace) -> Result<(), String> {
    let found = Command::new("pkg-config")
        .args(["--exists", "glib-2.0"])
        .status();
    if !found.is_ok_and(|status| status.success()) {
        println!("skipped: tress-glib: pkg-config finds no glib-2.0");
        return Ok(());
    }
    let lines = ["fmt --check", "clippy --all-targets -- -D warnings", "test"];
    // Not locked: its lock file follows the workspace's crates.
    for line in lines {
        println!("cargo {line}");
        let mut command = workspace.cargo();
        command
            .current_dir(workspace.root.join("crates/hosts/glib"))
            .env(behaviours::VARIABLE, behaviours::directory(workspace));
        cargo::run(command.args(line.split(' ')))?;
    }
    Ok(())
}

/// Everything that may be published could be: what cargo asks of a manifest is there, and every file is in its package. They
/// are not compiled once more, as nothing in them is other than here.
fn publish(workspace: &Workspace) -> Result<(), String> {
    let line = "publish --workspace --dry-run --no-verify --allow-dirty --locked";
    println!("cargo {line}");
    let output = workspace.cargo().args(line.split(' ')).output();
    let output = output.map_err(|e| format!("cargo does not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // It asks the registry whether a version is there already.
    let is_away = [
        "failed to download",
        "Could not resolve",
        "failed to fetch",
        "network",
    ];
    match output.status.success() {
        true => Ok(()),
        false if is_away.iter().any(|words| said.contains(words)) => {
            println!("skipped: the registry cannot be reached");
            Ok(())
        }
        false => Err(said.into_owned()),
    }
}

/// The models of what threads share, by what tries the orders. It replaces the atomics, so everything is compiled anew,
/// beside the rest.
fn models(workspace: &Workspace, with: &str) -> Command {
    let mut command = workspace.cargo();
    command
        .env("RUSTFLAGS", format!("--cfg {with}"))
        .args(["test", "-p", "tress-core", "--lib", "--locked"])
        .arg("--target-dir")
        .arg(workspace.target.join("models"))
        .arg("models::");
    command
}

/// One step, between a line with its name and a line with its outcome and duration.
fn step<T>(name: &str, action: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("=== {name}");
    let start = Instant::now();
    let result = action();
    let outcome = if result.is_ok() { "ok" } else { "failed" };
    let seconds = start.elapsed().as_secs_f64();
    println!("=== {name}: {outcome}, {seconds:.1} s");
    result.map_err(|why| format!("step `{name}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_named() {
        assert_eq!(step("format", || Ok(7)), Ok(7));
        let failed: Result<(), _> = step("format", || Err("exit status: 1".into()));
        assert_eq!(failed, Err("step `format`: exit status: 1".into()));
    }
}
