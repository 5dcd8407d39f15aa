//! `cargo xtask asan`: the tests of the io_uring driver under AddressSanitizer, which sees what is freed too early, and at
//! the end what was never freed. Must not know what they test.
//!
//! The sanitizer comes with the compiler; only the switch for it is not stable.

use crate::cargo::{self, Workspace};
use std::{env, process::Command};

/// Compiles the tests anew, beside everything else, and runs them.
pub(crate) fn run(workspace: &Workspace) -> Result<String, String> {
    if env::consts::OS != "linux" {
        return Err("io_uring is Linux's: there is nothing to test here".into());
    }
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    // Of the unit tests only the driver's: one of another module forgets something on purpose.
    for what in [["--lib", "uring::"].as_slice(), &["--test", "uring"]] {
        cargo::run(&mut tests(workspace, &target, what))?;
    }
    Ok("AddressSanitizer found nothing".into())
}

fn tests(workspace: &Workspace, target: &str, what: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command
        .env("CARGO_TARGET_DIR", workspace.target.join("asan"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        // With a target of its own, build scripts and macros are compiled without it.
        .args(["test", "--locked", "--target", target])
        .args(["--package", "tress-os", "--features", "uring"])
        .args(what);
    command
}
