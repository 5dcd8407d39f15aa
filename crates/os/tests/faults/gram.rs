//! A datagram protocol that notes its life. Knows no scenario.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tress_core::{Address, DatagramProtocol, DatagramTransport, Result};

/// What became of a datagram protocol.
#[derive(Default)]
pub(crate) struct GramLife {
    pub(crate) started: Cell<u32>,
    pub(crate) stopped: Cell<u32>,
    pub(crate) received: RefCell<Vec<Vec<u8>>>,
    pub(crate) refused: Cell<u32>,
    pub(crate) progress: Rc<Cell<u64>>,
}

/// The protocol: an echo, or one that only listens.
pub(crate) struct Gram {
    pub(crate) life: Rc<GramLife>,
    pub(crate) echoes: bool,
}

impl Gram {
    fn goes_on(&self, count: &Cell<u32>) {
        count.set(count.get() + 1);
        self.life.progress.set(self.life.progress.get() + 1);
    }
}

impl DatagramProtocol for Gram {
    fn start_protocol(&mut self, _: &DatagramTransport) -> Result {
        self.goes_on(&self.life.started);
        Ok(())
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        self.life.received.borrow_mut().push(data.to_vec());
        self.life.progress.set(self.life.progress.get() + 1);
        if self.echoes {
            transport.write_to(data, from)?;
        }
        Ok(())
    }

    fn connection_refused(&mut self, _: &DatagramTransport) -> Result {
        self.goes_on(&self.life.refused);
        Ok(())
    }

    fn stop_protocol(&mut self) {
        self.goes_on(&self.life.stopped);
    }
}
