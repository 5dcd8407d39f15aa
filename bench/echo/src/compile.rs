//! How the programs of peers are made: by cargo, by the C compiler, or by writing a script. Knows no peer.

use crate::server::{Helper, wait};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest a build may take.
const BUILD_PATIENCE: Duration = Duration::from_secs(1_800);

/// Where things are built: beside this very program.
///
/// # Errors
/// The program does not know where it is.
pub fn target_directory() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    target
        .map(Path::to_owned)
        .ok_or_else(|| io::Error::other("this program is in no target directory"))
}

/// Where scripts, small programs and what builds say are kept; it is made if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn scratch_directory(target: &Path) -> io::Result<PathBuf> {
    let directory = target.join("bench-peers");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Builds a program of this workspace, as it is packaged.
///
/// # Errors
/// What the build said.
pub fn cargo(target: &Path, package: &str, program: &str) -> io::Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--profile", "dist"]);
    command.args(["-p", package, "--bin", program]);
    command.arg("--target-dir").arg(target);
    finish(command, target, program)?;
    Ok(target.join("dist").join(program))
}

/// Builds a program of another workspace, as it is released there.
///
/// # Errors
/// What the build said.
pub fn cargo_elsewhere(target: &Path, manifest: &Path, program: &str) -> io::Result<PathBuf> {
    let directory = scratch_directory(target)?.join(program);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path",
    ]);
    command.arg(manifest).arg("--target-dir").arg(&directory);
    finish(command, target, program)?;
    Ok(directory.join("release").join(program))
}

/// Compiles a C program, or what else the flags make of it; they come last, as libraries must.
///
/// # Errors
/// What the compiler said.
pub fn c(target: &Path, name: &str, source: &str, flags: &[&str]) -> io::Result<PathBuf> {
    let directory = scratch_directory(target)?;
    let file = directory.join(format!("{name}.c"));
    let program = directory.join(name);
    std::fs::write(&file, source)?;
    let mut command = Command::new("cc");
    command
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(&file)
        .args(flags);
    finish(command, target, name)?;
    Ok(program)
}

/// Writes a Python script; returns the Python that has Twisted, and the script.
///
/// # Errors
/// There is no such Python, or the script cannot be written.
pub fn python(target: &Path, file: &str, source: &str) -> io::Result<(PathBuf, PathBuf)> {
    let python = std::env::var_os("TRESS_PYTHON")
        .ok_or_else(|| io::Error::other("TRESS_PYTHON names no Python with Twisted"))?;
    let script = scratch_directory(target)?.join(file);
    std::fs::write(&script, source)?;
    Ok((python.into(), script))
}

/// Runs a build; what it said becomes the reason if it fails.
fn finish(mut command: Command, target: &Path, name: &str) -> io::Result<()> {
    let said = scratch_directory(target)?.join(format!("{name}.build"));
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .spawn();
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child =
        Helper(spawned.map_err(|error| io::Error::other(format!("{program}: {error}")))?);
    if wait(&mut child.0, BUILD_PATIENCE)?.success() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&said).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.contains("error"))
        .unwrap_or("it said nothing");
    Err(io::Error::other(format!("building {name} failed: {line}")))
}
