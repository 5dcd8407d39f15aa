//! `cargo xtask package`: the program as one static file, a Debian package of it, and the proof that this can be installed,
//! upgraded and removed. Must not know what the program does.
//!
//! `--program FILE` packages one that is there already, such as a debug build, to see what the package does.

mod deb;
mod trial;

use crate::{
    cargo::{self, Workspace},
    tools::{self, Probe, Tools},
};
use deb::Deb;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is needed, beside cargo.
const TOOLS: &[(&str, Probe)] = &[
    ("dpkg", Probe::Program("dpkg-deb")),
    ("lintian", Probe::Program("lintian")),
];

/// How this is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arguments<'a> {
    /// What to package, instead of a program that is built for it.
    program: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    /// What stands behind `package`.
    pub(crate) fn parse(words: &'a [String]) -> Option<Self> {
        match words {
            [] => Some(Self { program: None }),
            [option, file] if option == "--program" => Some(Self {
                program: Some(file),
            }),
            _ => None,
        }
    }
}

/// Makes all of it, below the target directory, and tries it.
pub(crate) fn run(workspace: &Workspace, arguments: Arguments<'_>) -> Result<String, String> {
    let tools = Tools::look(TOOLS);
    let (program, is_static) = match arguments.program {
        Some(file) => (PathBuf::from(file), false),
        None => (built(workspace)?, true),
    };
    if is_static {
        stands_alone(&program)?;
    }
    let package = made_and_tried(workspace, &program, is_static)?;
    lint(&package, is_static)?;
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    Ok(format!(
        "{} ({} KiB, the program {} KiB) can be installed, upgraded and purged{}",
        package.display(),
        bytes(&package) / 1024,
        bytes(&program) / 1024,
        tools.skipped()
    ))
}

/// What `cargo xtask test` does of it, with the program that is there by then.
pub(crate) fn quick(workspace: &Workspace) -> Result<(), String> {
    if tools::absent(TOOLS).contains(&"dpkg") {
        println!("skipped: there is no dpkg-deb");
        return Ok(());
    }
    let program = workspace.target.join("debug").join("tress");
    made_and_tried(workspace, &program, false).map(drop)
}

fn made_and_tried(
    workspace: &Workspace,
    program: &Path,
    is_static: bool,
) -> Result<PathBuf, String> {
    let directory = workspace.target.join("package");
    fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let deb = Deb::new(workspace, program, is_static)?;
    let package = deb.build(&directory, deb.version())?;
    let newer = deb.build(&directory, &format!("{}+newer", deb.version()))?;
    println!("{}", package.display());
    trial::run(&package, &newer, is_static)?;
    fs::remove_file(&newer).map_err(|e| format!("{}: {e}", newer.display()))?;
    Ok(package)
}

/// Builds the program with the C library in it. With a target of its own, macros and build scripts are compiled as ever.
fn built(workspace: &Workspace) -> Result<PathBuf, String> {
    if env::consts::OS != "linux" {
        return Err("a Debian package is for Linux".into());
    }
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut command = workspace.cargo();
    command
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--locked", "--profile", "dist"])
        .args(["--target", &target])
        .args(["--package", "tress-cli", "--features", "uring"]);
    cargo::run(&mut command)?;
    Ok(workspace.target.join(target).join("dist").join("tress"))
}

/// No loader and no library is named in it.
fn stands_alone(program: &Path) -> Result<(), String> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .map_err(|e| format!("ldd does not start: {e}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let alone = ["statically linked", "not a dynamic executable"];
    match alone.iter().any(|words| said.contains(words)) {
        true => Ok(()),
        false => Err(format!("{} needs libraries: {said}", program.display())),
    }
}

/// What Debian's own checker says; its warnings are printed, its errors count.
fn lint(package: &Path, is_static: bool) -> Result<(), String> {
    if tools::absent(TOOLS).contains(&"lintian") {
        return Ok(());
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error", "--allow-root"]);
    let mut known = Vec::new();
    if env::var_os(deb::MAINTAINER).is_none() {
        println!(
            "the maintainer is nobody: {} says who it is",
            deb::MAINTAINER
        );
        known.extend(["bogus-mail-host", "bogus-mail-host-in-debian-changelog"]);
    }
    if !is_static {
        known.push("missing-dependency-on-libc");
    }
    if !known.is_empty() {
        lintian.args(["--suppress-tags", &known.join(",")]);
    }
    cargo::run(lintian.arg(package)).map_err(|why| format!("lintian: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let check = |line: &str, expect: Option<Option<&str>>| {
            let words = words(line);
            let found = Arguments::parse(&words).map(|found| found.program.map(str::to_owned));
            assert_eq!(found, expect.map(|it| it.map(str::to_owned)), "{line}");
        };
        check("", Some(None));
        check("--program a", Some(Some("a")));
        check("--program", None);
        check("--help", None);
    }
}
