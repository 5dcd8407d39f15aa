//! A server that appends every line it gets to a file, which is open while the server listens.

use std::{fs::File, io::Write, path::PathBuf, rc::Rc};
use tress::{
    framing::{LineReceiver, LineTransport, Lines},
    prelude::*,
};

pub struct LoggingProtocol {
    log: Rc<File>,
}

impl LineReceiver for LoggingProtocol {
    fn line_received(&mut self, _transport: &LineTransport, line: &[u8]) -> Result {
        let mut log = &*self.log;
        log.write_all(&[line, b"\n"].concat())?;
        Ok(())
    }
}

pub struct LogfileFactory {
    path: PathBuf,
    log: Option<Rc<File>>,
}

impl LogfileFactory {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, log: None }
    }
}

impl Factory for LogfileFactory {
    type Protocol = Lines<LoggingProtocol>;

    fn start_factory(&mut self) {
        let file = File::options().append(true).create(true).open(&self.path);
        self.log = Some(Rc::new(file.expect("the log file can be opened")));
    }

    fn build_protocol(&mut self, _peer: &Address) -> Option<Self::Protocol> {
        let log = self.log.clone()?;
        Some(Lines::new(LoggingProtocol { log }))
    }

    fn stop_factory(&mut self) {
        self.log = None;
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.listen("tcp:8007", LogfileFactory::new("lines.log"))?;
    reactor.run()
}
