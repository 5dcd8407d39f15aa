//! The echo servers that are compared, and how each is built.

use crate::compile;
use std::io;
use std::path::{Path, PathBuf};

/// Every peer, in the order of the table.
pub const NAMES: [&str; 8] = [
    "tress",
    "tress-2-workers",
    "tress-uring",
    "tress-in-tokio",
    "bare",
    "libuv",
    "tokio",
    "twisted",
];

/// What the others are compared with.
pub const BASELINE: &str = "bare";

/// tress on its own loop, on mio: what its other loops are compared with.
pub const MIO: &str = "tress";

/// One echo server that can be started.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name in the results.
    pub name: &'static str,
    /// Program and arguments; `{port}` stands for the port.
    words: Vec<String>,
}

impl Peer {
    /// A server that is started with these words.
    #[must_use]
    pub fn new(name: &'static str, words: Vec<String>) -> Self {
        Self { name, words }
    }

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

/// Builds one peer.
///
/// # Errors
/// Why it cannot take part.
pub fn build(name: &'static str, target: &Path) -> io::Result<Peer> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let c = |source, libraries: &[&str]| compile::c(target, name, source, libraries).map(text);
    let port = || "{port}".to_owned();
    let words = match name {
        "tress" | "tress-2-workers" | "tress-uring" => {
            let mut words = vec![
                text(compile::cargo(target, "tress-testee", "tress-testee")?),
                "echo".into(),
                "--at".into(),
                "tcp:{port}:interface=127.0.0.1".into(),
            ];
            if name == "tress-2-workers" {
                words.extend(["--workers".into(), "2".into()]);
            }
            if name == "tress-uring" {
                words.extend(["--driver".into(), "uring".into()]);
            }
            words
        }
        "tress-in-tokio" => vec![text(std::env::current_exe()?), "peer-hosted".into(), port()],
        "bare" => vec![c(include_str!("../peers/bare.c"), &[])?, port()],
        "libuv" => vec![c(include_str!("../peers/libuv.c"), &["-luv"])?, port()],
        "tokio" => vec![text(std::env::current_exe()?), "peer-tokio".into(), port()],
        _ => {
            let source = include_str!("../peers/twisted_echo.py");
            let (python, script) = compile::python(target, "twisted_echo.py", source)?;
            vec![text(python), text(script), port()]
        }
    };
    Ok(Peer { name, words })
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
