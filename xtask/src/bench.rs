//! `cargo xtask bench NAME`: makes sure the benchmark's tools are there and starts tress-bench.
//! Must not know the benchmarks: tress-bench names them, runs them and writes bench/results/.

use crate::{
    cargo::{self, Workspace},
    tools::{self, Tools},
};
use std::fs;

/// Runs tress-bench at the workspace root with these arguments, the first of which names the benchmark.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<String, String> {
    let tools = Tools::prepare(tools::BENCH, &workspace.target);
    let results = workspace.root.join("bench").join("results");
    fs::create_dir_all(&results).map_err(|e| format!("{}: {e}", results.display()))?;
    let mut command = workspace.cargo();
    command
        .args(["run", "--profile", "dist", "-p", "tress-bench", "--"])
        .args(args);
    cargo::run(command.envs(tools.variables()))?;
    Ok(format!("results are in bench/results/{}", tools.skipped()))
}
