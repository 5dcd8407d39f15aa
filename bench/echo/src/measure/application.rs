//! How long `tress run` of the example's finger application takes from starting the process to the first connection, and
//! what it occupies then. It is no echo server, and has no other figures.

use super::Bench;
use crate::compile;
use crate::peers::Peer;
use crate::proc::resident_bytes;
use crate::server::{Server, free_port};
use crate::slices::Samples;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its name in the results.
pub const NAME: &str = "tress-run-finger";

const FILE: &str = include_str!("../../../../examples/finger/finger.toml");
const USERS: &str = include_str!("../../../../examples/finger/users");

/// Builds the command.
///
/// # Errors
/// What the build said.
pub fn build(target: &Path) -> io::Result<PathBuf> {
    compile::cargo(target, "tress-cli", "tress")
}

/// Fills the columns of `start`, if the command could be built.
pub fn measure(bench: &mut Bench) {
    let Some(program) = bench.application.clone() else {
        return;
    };
    let (mut start, mut resident) = (Samples::default(), Samples::default());
    for round in 0..bench.sizes.starts {
        match one(bench, &program) {
            Ok((server, bytes)) => {
                start.note(NAME, round, Some(server.start.as_secs_f64() * 1e3));
                resident.note(NAME, round, Some(bytes));
            }
            Err(error) => return bench.report.skip(NAME, "start", &error.to_string()),
        }
    }
    start.into_report(&mut bench.report, "start_to_listening_ms");
    resident.into_report(&mut bench.report, "idle_resident_bytes");
}

fn one(bench: &Bench, program: &Path) -> io::Result<(Server, f64)> {
    let directory = bench.starter.scratch.join("finger");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("users"), USERS)?;
    let (port, setter) = (free_port()?, free_port()?);
    let text = FILE
        .replace("\"tcp:1079:", &format!("\"tcp:{port}:"))
        .replace("\"tcp:1080:", &format!("\"tcp:{setter}:"));
    let file = directory.join("finger.toml");
    std::fs::write(&file, text)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let words = vec![text(program), "run".to_owned(), text(&file)];
    let server = bench.starter.start_at(&Peer::new(NAME, words), port)?;
    std::thread::sleep(Duration::from_millis(50));
    let bytes = resident_bytes(server.pid())? as f64;
    Ok((server, bytes))
}
