//! The echo servers that are compared, and how each is built.

use crate::server::{Helper, wait};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Every peer, in the order of the table.
pub const NAMES: [&str; 6] = ["tress", "tress-uring", "bare", "libuv", "tokio", "twisted"];

/// What the others are compared with.
pub const BASELINE: &str = "bare";

/// The longest a build may take.
const BUILD_PATIENCE: Duration = Duration::from_secs(1_800);

/// One echo server that can be started.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name in the results.
    pub name: &'static str,
    /// Program and arguments; `{port}` stands for the port.
    words: Vec<String>,
}

impl Peer {
    /// The command that listens on this port.
    #[must_use]
    pub fn command(&self, port: u16) -> Vec<String> {
        let port = port.to_string();
        self.words
            .iter()
            .map(|word| word.replace("{port}", &port))
            .collect()
    }

    /// Whether it makes sense to count its instructions, or to give it 19,000 connections.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.name != "twisted"
    }
}

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

/// Builds one peer.
///
/// # Errors
/// Why it cannot take part.
pub fn build(name: &'static str, target: &Path) -> io::Result<Peer> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let words = match name {
        "tress" | "tress-uring" => {
            let program = target.join("release").join("tress-testee");
            build_testee(target)?;
            let mut words = vec![
                text(program),
                "echo".into(),
                "--at".into(),
                "tcp:{port}:interface=127.0.0.1".into(),
            ];
            if name == "tress-uring" {
                words.extend(["--driver".into(), "uring".into()]);
            }
            words
        }
        "bare" => vec![
            text(compile(
                target,
                "bare",
                include_str!("../peers/bare.c"),
                &[],
            )?),
            "{port}".into(),
        ],
        "libuv" => vec![
            text(compile(
                target,
                "libuv",
                include_str!("../peers/libuv.c"),
                &["-luv"],
            )?),
            "{port}".into(),
        ],
        "tokio" => vec![
            text(std::env::current_exe()?),
            "peer-tokio".into(),
            "{port}".into(),
        ],
        _ => {
            let python = std::env::var("TRESS_PYTHON")
                .map_err(|_| io::Error::other("TRESS_PYTHON names no Python with Twisted"))?;
            let script = target.join("bench-peers").join("twisted_echo.py");
            std::fs::write(&script, include_str!("../peers/twisted_echo.py"))?;
            vec![python, text(script), "{port}".into()]
        }
    };
    Ok(Peer { name, words })
}

fn build_testee(target: &Path) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "tress-testee",
            "--target-dir",
        ])
        .arg(target);
    finish(command, target, "tress-testee")
}

fn compile(target: &Path, name: &str, source: &str, libraries: &[&str]) -> io::Result<PathBuf> {
    let directory = target.join("bench-peers");
    let file = directory.join(format!("{name}.c"));
    let program = directory.join(name);
    std::fs::write(&file, source)?;
    let mut command = Command::new("cc");
    command
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(&file)
        .args(libraries);
    finish(command, target, name)?;
    Ok(program)
}

/// Runs a build; what it said becomes the reason if it fails.
fn finish(mut command: Command, target: &Path, name: &str) -> io::Result<()> {
    let said = target.join("bench-peers").join(format!("{name}.build"));
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

#[cfg(test)]
mod tests {
    use super::Peer;

    #[test]
    fn the_port_is_put_in_its_place() {
        let peer = Peer {
            name: "x",
            words: vec!["x".into(), "tcp:{port}:interface=127.0.0.1".into()],
        };
        assert_eq!(peer.command(81), ["x", "tcp:81:interface=127.0.0.1"]);
    }
}
