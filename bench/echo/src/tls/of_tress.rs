//! The server of tress: protocols that know nothing of TLS, at an endpoint `ssl:`.

use super::servers::{Got, Order, PIECE, Service, wanted};
use std::io;
use tress::{Bytes, Pace, Producer, prelude::*};

/// Serves until the process is killed.
pub(super) fn serve(order: &Order) -> io::Result<()> {
    run(order).map_err(|failure| io::Error::other(failure.to_string()))
}

fn run(order: &Order) -> Result {
    let at = format!(
        "ssl:{}:certKey={}:privateKey={}:interface=127.0.0.1",
        order.port,
        order.certificate.display(),
        order.key.display()
    );
    let reactor = tress::reactor()?;
    let port = match order.service {
        Service::Echo => reactor.listen(&at, || Echo)?,
        Service::Sink => reactor.listen(&at, Sink::default)?,
        Service::Source => reactor.listen(&at, || Source)?,
    };
    reactor.run()?;
    drop(port);
    Ok(())
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(data);
        Ok(())
    }
}

#[derive(Default)]
struct Sink(Got);

impl Protocol for Sink {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.write(self.0.more(data.len()));
        Ok(())
    }
}

struct Source;

impl Protocol for Source {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> Result {
        transport.register_producer(Repeat(wanted(data)?), Pace::Pulled)
    }
}

/// How many bytes are left to send.
struct Repeat(usize);

impl Producer for Repeat {
    fn resume_producing(&mut self, transport: &Transport) -> Result {
        static BYTES: [u8; PIECE] = [b'x'; PIECE];
        let count = self.0.min(PIECE);
        transport.write_bytes(Bytes::from_static(&BYTES[..count]));
        self.0 -= count;
        if self.0 == 0 {
            transport.unregister_producer();
        }
        Ok(())
    }
}
