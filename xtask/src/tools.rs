//! Programs and headers that tests and benches need: finds them, and installs what is missing where it may.
//! Must not fail: what cannot be installed is printed as skipped, and whoever needs it skips with a reason of its own.

use crate::cargo;
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What `cargo xtask test` needs: Debian packages, each with the sign that it, or its like, is installed.
pub(crate) const TEST: &[(&str, Probe)] = &[
    (
        "chromium-headless-shell",
        Probe::Program("chromium-headless-shell"),
    ), // 64 MB
    ("curl", Probe::Program("curl")),
    ("haproxy", Probe::Program("haproxy")),
    ("netcat-openbsd", Probe::Program("nc")),
    ("socat", Probe::Program("socat")),
    ("strace", Probe::Program("strace")),
    ("openssl", Probe::Program("openssl")),
    ("libglib2.0-dev", Probe::File("/usr/include/glib-2.0")),
    ("xvfb", Probe::Program("Xvfb")),
    ("python3-tk", Probe::File("/usr/share/doc/python3-tk")),
];

/// What `cargo xtask bench` needs.
pub(crate) const BENCH: &[(&str, Probe)] = &[
    ("valgrind", Probe::Program("valgrind")),
    ("libuv1-dev", Probe::File("/usr/include/uv.h")),
    ("libc6-dbg", Probe::File("/usr/share/doc/libc6-dbg")),
    ("gcc", Probe::Program("gcc")),
    ("strace", Probe::Program("strace")),
    ("redis-server", Probe::Program("redis-server")),
];

/// What the private Python environment holds: the package on PyPI, and the module that proves it is there.
const PYTHON: &[(&str, &str)] = &[
    ("twisted", "twisted"),
    ("pyopenssl", "OpenSSL"),
    ("service-identity", "service_identity"),
    ("aiorpcx", "aiorpcx"),
    ("jsonrpcclient", "jsonrpcclient"),
    ("jsonschema", "jsonschema"),
    ("prometheus-client", "prometheus_client"),
];

/// Tells tests and benches which Python has the packages above.
const PYTHON_VARIABLE: &str = "TRESS_PYTHON";

/// Tells tests where the examples of Twisted's source distribution are, those of the version that is installed.
const EXAMPLES_VARIABLE: &str = "TRESS_TWISTED_EXAMPLES";

/// How to see that something is there.
pub(crate) enum Probe {
    /// A program on the PATH.
    Program(&'static str),
    /// A file or directory at this place.
    File(&'static str),
}

/// What was found or installed.
pub(crate) struct Tools {
    python: Option<PathBuf>,
    examples: Option<PathBuf>,
    missing: Vec<&'static str>,
}

impl Tools {
    /// Installs what is missing of `wanted` and makes the Python environment below `target`.
    pub(crate) fn prepare(wanted: &[(&'static str, Probe)], target: &Path) -> Self {
        let mut missing = install(wanted);
        let python = python_environment(&target.join("venv"));
        match &python {
            Ok(path) => println!("{PYTHON_VARIABLE}={}", path.display()),
            Err(why) => {
                println!("skipped: Python environment: {why}");
                missing.push("Python environment");
            }
        }
        Self {
            python: python.ok(),
            examples: None,
            missing,
        }
    }

    /// Installs what is missing of `wanted`, and makes no Python environment.
    pub(crate) fn look(wanted: &[(&'static str, Probe)]) -> Self {
        Self {
            python: None,
            examples: None,
            missing: install(wanted),
        }
    }

    /// The same, and Twisted's examples, below `target` as well.
    pub(crate) fn with_examples(mut self, target: &Path) -> Self {
        let Some(python) = &self.python else {
            return self;
        };
        match twisted_examples(python, target) {
            Ok(path) => {
                println!("{EXAMPLES_VARIABLE}={}", path.display());
                self.examples = Some(path);
            }
            Err(why) => {
                println!("skipped: Twisted's examples: {why}");
                self.missing.push("Twisted's examples");
            }
        }
        self
    }

    /// The variables that tests and benches are given, of what there is.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &OsStr)> {
        let python = self.python.iter().map(|path| (PYTHON_VARIABLE, path));
        let examples = self.examples.iter().map(|path| (EXAMPLES_VARIABLE, path));
        let paths = python.chain(examples);
        paths.map(|(name, path)| (name, path.as_os_str())).collect()
    }

    /// The end of a summary: what is not there, or nothing.
    pub(crate) fn skipped(&self) -> String {
        if self.missing.is_empty() {
            String::new()
        } else {
            format!("; not installed: {}", self.missing.join(", "))
        }
    }
}

impl Probe {
    fn is_present(&self) -> bool {
        match self {
            Self::Program(name) => env::split_paths(&env::var_os("PATH").unwrap_or_default())
                .any(|dir| dir.join(name).is_file()),
            Self::File(path) => Path::new(path).exists(),
        }
    }
}

/// Installs what is missing, and says what is missing still.
fn install(wanted: &[(&'static str, Probe)]) -> Vec<&'static str> {
    let missing = absent(wanted);
    if missing.is_empty() {
        return missing;
    }
    if let Err(why) = apt_install(&missing) {
        println!("skipped: {}: {why}", missing.join(", "));
    }
    absent(wanted)
}

pub(crate) fn absent(wanted: &[(&'static str, Probe)]) -> Vec<&'static str> {
    let absent = wanted.iter().filter(|(_, probe)| !probe.is_present());
    absent.map(|(package, _)| *package).collect()
}

fn apt_install(packages: &[&str]) -> Result<(), String> {
    if !Probe::Program("apt-get").is_present() {
        return Err("missing, and there is no apt-get to install it with".into());
    }
    let user = Command::new("id")
        .arg("-u")
        .output()
        .map_err(|e| format!("id -u: {e}"))?;
    if user.stdout != b"0\n" {
        return Err("missing, and installing it needs root".into());
    }
    println!("installing {}", packages.join(", "));
    apt_get(&["update"])?;
    let install = |packages: &[&str]| {
        apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
    };
    if install(packages).is_ok() {
        return Ok(());
    }
    // One that this system does not have must not keep the others away.
    let each = packages.iter().map(|package| install(&[package]));
    let failed: Vec<String> = each.filter_map(Result::err).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

fn apt_get(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    cargo::run(&mut command).map_err(|why| format!("apt-get {}: {why}", args[0]))
}

/// The Python of the environment at `dir`, which is made anew when a module cannot be imported from it.
fn python_environment(dir: &Path) -> Result<PathBuf, String> {
    let python = dir.join("bin").join("python");
    let imports = PYTHON
        .iter()
        .map(|(_, module)| format!("import {module}\n"))
        .collect::<String>();
    let mut probe = Command::new(&python);
    if cargo::run(probe.args(["-c", &imports]).stderr(Stdio::null())).is_ok() {
        return Ok(python);
    }
    println!("making a Python environment at {}", dir.display());
    cargo::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(dir),
    )
    .map_err(|why| format!("python3 -m venv: {why}"))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args(PYTHON.iter().map(|(package, _)| package));
    cargo::run(&mut pip).map_err(|why| format!("pip install: {why}"))?;
    Ok(python)
}

/// The examples of the Twisted that this Python has, from its source distribution, which is unpacked below `target` once.
fn twisted_examples(python: &Path, target: &Path) -> Result<PathBuf, String> {
    let version = Command::new(python)
        .args(["-c", "import twisted; print(twisted.__version__)"])
        .output()
        .map_err(|e| format!("{}: {e}", python.display()))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let name = format!("twisted-{version}");
    let examples = target
        .join(&name)
        .join("docs")
        .join("core")
        .join("examples");
    if examples.join("pbinterop.py").is_file() {
        return Ok(examples);
    }
    println!("fetching the source distribution of Twisted {version}");
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ])
    .args(["--no-binary", "twisted", "--dest"])
    .arg(target)
    .arg(format!("twisted=={version}"));
    cargo::run(&mut pip).map_err(|why| format!("pip download: {why}"))?;
    let archive = target.join(format!("{name}.tar.gz"));
    let mut tar = Command::new(python);
    tar.args(["-m", "tarfile", "-e"]).arg(archive).arg(target);
    cargo::run(&mut tar).map_err(|why| format!("tarfile: {why}"))?;
    match examples.join("pbinterop.py").is_file() {
        true => Ok(examples),
        false => Err(format!("{} is not in it", examples.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_find_and_miss() {
        assert!(Probe::Program("sh").is_present());
        assert!(!Probe::Program("no-such-program-anywhere").is_present());
        assert!(Probe::File("/").is_present());
        assert!(!Probe::File("/no/such/file").is_present());
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut tools = Tools {
            python: None,
            examples: None,
            missing: vec![],
        };
        assert_eq!(tools.skipped(), "");
        assert_eq!(tools.variables(), []);
        tools.missing = vec!["strace", "gcc"];
        assert_eq!(tools.skipped(), "; not installed: strace, gcc");
    }
}
