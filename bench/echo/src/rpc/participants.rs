//! The servers that are compared, and how each is built.

use super::wire::Wire;
use crate::compile;
use crate::peers::Peer;
use std::io;
use std::path::{Path, PathBuf};

/// Every participant, in the order of the table.
pub const NAMES: [&str; 9] = [
    "tress-amp",
    "twisted-amp",
    "tress-pb",
    "twisted-pb",
    "tress-jsonrpc-lines",
    "tress-http",
    "tress-http-jsonrpc",
    "jsonrpsee",
    "redis",
];

/// A server that can be started, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Participant {
    /// The server.
    pub peer: Peer,
    /// What its client says.
    pub wire: Wire,
}

/// Builds one of them.
///
/// # Errors
/// Why it cannot take part.
pub fn build(name: &'static str, target: &Path) -> io::Result<Participant> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let port = || "{port}".to_owned();
    let tress = |wire: Wire| -> io::Result<(Wire, Vec<String>)> {
        let program = text(std::env::current_exe()?);
        let words = vec![program, "rpc-server".into(), wire.name().into(), port()];
        Ok((wire, words))
    };
    let twisted = |wire, file, source| -> io::Result<(Wire, Vec<String>)> {
        let (python, script) = compile::python(target, file, source)?;
        Ok((wire, vec![text(python), text(script), port()]))
    };
    let (wire, words) = match name {
        "tress-amp" => tress(Wire::Amp)?,
        "tress-pb" => tress(Wire::Pb)?,
        "tress-jsonrpc-lines" => tress(Wire::JsonRpcLines)?,
        "tress-http" => tress(Wire::Http)?,
        "tress-http-jsonrpc" => tress(Wire::HttpJsonRpc("/jsonrpc"))?,
        "twisted-amp" => {
            let source = include_str!("../../peers/twisted_amp.py");
            twisted(Wire::Amp, "twisted_amp.py", source)?
        }
        "twisted-pb" => {
            let source = include_str!("../../peers/twisted_pb.py");
            twisted(Wire::Pb, "twisted_pb.py", source)?
        }
        "jsonrpsee" => {
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jsonrpsee/Cargo.toml");
            let program = compile::cargo_elsewhere(target, &manifest, "bench-jsonrpsee")?;
            (Wire::HttpJsonRpc("/"), vec![text(program), port()])
        }
        _ => {
            let kept = ["--save", "", "--appendonly", "no"]; // nothing
            let words = ["redis-server", "--bind", "127.0.0.1", "--port", "{port}"];
            let words = words.iter().chain(&kept).map(|word| (*word).to_owned());
            (Wire::Redis, words.collect())
        }
    };
    Ok(Participant {
        peer: Peer::new(name, words),
        wire,
    })
}
