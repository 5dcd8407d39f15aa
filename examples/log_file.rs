//! A server that appends every line it gets to a file: its start opens the file, its stop closes it.

use std::{fs::File, io::Write, path::PathBuf};
use tress::prelude::*;

pub struct LoggingProtocol(Rc<File>);

impl LineReceiver for LoggingProtocol {
    fn line_received(&mut self, _transport: &LineTransport, line: &[u8]) -> Result {
        let mut log = &*self.0;
        log.write_all(&[line, b"\n"].concat())?;
        Ok(())
    }
}

pub fn logfile_factory(path: PathBuf) -> impl Factory {
    let start = move || File::options().append(true).create(true).open(&path);
    let build = |log| Lines::new(LoggingProtocol(log));
    Sharing::from_start(start, build)
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    let factory = logfile_factory("lines.log".into());
    reactor.listen("tcp:8007", factory)?;
    reactor.run()
}
