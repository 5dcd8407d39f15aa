//! A server that knows one answer: `Lines` makes lines of bytes, so that a protocol sees nothing else.

use tress::prelude::*;

pub struct Answer;

impl LineReceiver for Answer {
    fn line_received(&mut self, transport: &LineTransport, line: &[u8]) -> Result {
        transport.send_line(match line {
            b"How are you?" => b"Fine",
            _ => b"I don't know what you mean",
        });
        Ok(())
    }
}

fn main() -> Result {
    let reactor = tress::reactor()?;
    reactor.listen("tcp:8007", || Lines::new(Answer))?;
    reactor.run()
}
