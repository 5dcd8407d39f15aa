//! Datagrams: a port that sends back what it gets, and clients that number theirs. Each answer is one that was asked for,
//! whole, and comes no more often than the network can double it.

use crate::{
    ledger::{Clockwork, Ledger},
    words::sentence,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use tress_core::{Address, DatagramProtocol, DatagramTransport, Reactor, Result, WeakReactor};

/// A datagram is doubled once on each way, and its answers too.
const MOST_ANSWERS: u8 = 4;

/// Sends back what comes.
pub(crate) struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        from: &Address,
    ) -> Result {
        transport.write_to(data, from)?;
        Ok(())
    }
}

/// A client on one host.
pub(crate) struct Pinger {
    ledger: Ledger,
    clockwork: Clockwork,
    reactor: WeakReactor,
    to: Address,
    /// Tells its datagrams from those of whoever had its port before a crash.
    life: u64,
    /// How many answers came to each.
    answers: RefCell<Vec<u8>>,
    answered: Cell<u64>,
    is_stopping: Cell<bool>,
}

struct Port(Rc<Pinger>);

impl Pinger {
    /// Starts one.
    ///
    /// # Errors
    /// There is no port for it.
    pub(crate) fn start(
        reactor: &Reactor,
        ledger: &Ledger,
        clockwork: &Clockwork,
        to: Address,
    ) -> Result<Rc<Self>> {
        let pinger = Rc::new(Self {
            ledger: ledger.clone(),
            clockwork: clockwork.clone(),
            reactor: reactor.downgrade(),
            to,
            life: ledger.below(u64::MAX),
            answers: RefCell::default(),
            answered: Cell::new(0),
            is_stopping: Cell::new(false),
        });
        let port = reactor.listen_datagrams("udp:0", Port(Rc::clone(&pinger)))?;
        pinger.later(port);
        Ok(pinger)
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// How many answers it has got.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.get()
    }

    fn later(self: &Rc<Self>, port: DatagramTransport) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let (pinger, pause) = (Rc::clone(self), self.ledger.millis(30, 250));
        self.clockwork.later(&reactor, pause, move |_| {
            if pinger.is_stopping.get() {
                return;
            }
            pinger.ping(&port);
            pinger.later(port);
        });
    }

    fn text(&self, number: usize) -> String {
        let words = sentence("ping", number as u64);
        format!("{} {number} {words}", self.life)
    }

    fn ping(&self, port: &DatagramTransport) {
        let number = self.answers.borrow().len();
        let text = self.text(number);
        // A full queue is no breach.
        if port.write_to(text.as_bytes(), &self.to).is_ok() {
            self.answers.borrow_mut().push(0);
        }
    }
}

impl DatagramProtocol for Port {
    fn datagram_received(&mut self, _: &DatagramTransport, data: &[u8], from: &Address) -> Result {
        let (pinger, text) = (&self.0, String::from_utf8_lossy(data));
        let mut words = text.split(' ');
        if words.next() != Some(&*pinger.life.to_string()) {
            // It was asked by whoever had this port before.
            return Ok(());
        }
        let number = words.next().and_then(|number| number.parse::<usize>().ok());
        let is_right = number.is_some_and(|number| {
            let mut answers = pinger.answers.borrow_mut();
            let Some(count) = answers.get_mut(number) else {
                return false;
            };
            *count += 1;
            *count <= MOST_ANSWERS && text == pinger.text(number)
        });
        pinger
            .ledger
            .check(is_right, || format!("{from} answered {text:?} to a ping"));
        pinger.answered.set(pinger.answered.get() + 1);
        Ok(())
    }
}
