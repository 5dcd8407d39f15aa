//! `cargo xtask sim`: compiles the simulator's workload and runs it. Must not know what it does: its binary says how it is
//! called, and what came of it.

use crate::cargo::{self, Workspace};

/// What `cargo xtask test` runs.
const STANDING: &[&str] = &["--seeds", "0..1000", "--quiet"];

/// Runs it with these arguments.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<String, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    start(workspace, &args)?;
    Ok("no invariant broke".into())
}

/// Runs the seeds that always have to be well.
pub(crate) fn standing(workspace: &Workspace) -> Result<(), String> {
    start(workspace, STANDING)
}

fn start(workspace: &Workspace, args: &[&str]) -> Result<(), String> {
    let mut command = workspace.cargo();
    command
        .args(["run", "--quiet", "--locked", "--profile", "sim"])
        .args(["--package", "tress-sim-workload", "--"])
        .args(args);
    cargo::run(&mut command)
}
