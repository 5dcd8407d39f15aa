//! The way out when another process goes on: nobody is let in any more, and whoever is there may finish. Stops nothing itself.

use super::{Core, Entry, Reactor};
use crate::deferred::{Deferred, Resolver};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

/// Those who wait until nobody is connected any more.
#[derive(Default)]
pub(super) struct Drains {
    /// Each by a number of its own.
    waiting: RefCell<Vec<(u64, Resolver<usize>)>>,
    asked: Cell<u64>,
    /// A call that tells them is on its way.
    told: Cell<bool>,
}

impl Reactor {
    /// Stops listening at every port, and fires when no connection that was accepted is left, at the latest after `limit`, with
    /// how many are left then. Everything else goes on as before, and ports may be opened again.
    #[track_caller]
    pub fn drain(&self, limit: Duration) -> Deferred<usize> {
        let core = &self.0;
        for token in core.tokens(|entry| matches!(entry, Entry::Port(..))) {
            if let Some(Entry::Port(_, port)) = core.take(token) {
                core.close_port(token, &port);
            }
        }
        let (resolver, drained) = Deferred::pair();
        let number = core.drains.asked.get();
        core.drains.asked.set(number + 1);
        core.drains.waiting.borrow_mut().push((number, resolver));
        core.drained();
        let weak = Rc::downgrade(core);
        let late = self.call_later(limit, move || {
            if let Some(core) = weak.upgrade() {
                core.tell_drained(|waiting| waiting == number);
            }
        });
        drained.add_both(move |left| {
            late.cancel().ok();
            left
        })
    }
}

impl Core {
    /// An accepted connection has ended: if it was the last, those who wait are told, but not from inside whatever ended it.
    #[inline]
    pub(super) fn drained(self: &Rc<Self>) {
        if self.counters.accepted_open.get() == 0 {
            self.tell_drained_soon();
        }
    }

    #[cold]
    fn tell_drained_soon(self: &Rc<Self>) {
        if self.drains.waiting.borrow().is_empty() || self.drains.told.replace(true) {
            return;
        }
        let weak = Rc::downgrade(self);
        Reactor(Rc::clone(self)).call_later(Duration::ZERO, move || {
            if let Some(core) = weak.upgrade() {
                core.drains.told.set(false);
                if core.counters.accepted_open.get() == 0 {
                    core.tell_drained(|_| true);
                }
            }
        });
    }

    fn tell_drained(&self, whom: impl Fn(u64) -> bool) {
        let mut waiting = self.drains.waiting.borrow_mut();
        let told: Vec<_> = waiting
            .extract_if(.., |(number, _)| whom(*number))
            .collect();
        drop(waiting);
        for (_, resolver) in told {
            resolver.resolve(self.counters.accepted_open.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Protocol, Reactor, Result, Transport, testing::memory::Table};
    use std::{cell::Cell, rc::Rc, time::Duration};

    /// Closes when it hears something.
    struct Closes;

    impl Protocol for Closes {
        fn data_received(&mut self, transport: &Transport, _: &[u8]) -> Result {
            transport.lose_connection();
            Ok(())
        }
    }

    struct Client;

    impl Protocol for Client {}

    const LIMIT: Duration = Duration::from_secs(10);

    fn drain(reactor: &Reactor, limit: Duration) -> Rc<Cell<Option<usize>>> {
        let told = Rc::<Cell<_>>::default();
        let place = Rc::clone(&told);
        let drained = reactor.drain(limit).map(move |left| place.set(Some(left)));
        drained.detach();
        told
    }

    fn connect(table: &Table, port: u16) -> Option<Transport> {
        let to = format!("tcp:192.0.2.2:{port}");
        let transport = Rc::<Cell<_>>::default();
        let found = Rc::clone(&transport);
        let connected = table.reactor().connect_protocol(&to, Client);
        let connected = connected.map(move |connection| {
            found.set(Some(connection.transport().clone()));
        });
        connected.add_errback(|_| Ok(())).detach();
        table.settle();
        transport.take()
    }

    #[test]
    fn who_is_there_may_finish_and_nobody_else_is_let_in() {
        let table = Table::new();
        let reactor = table.reactor();
        let ports = reactor.listen_all(["tcp:1", "tcp:2"], || Closes);
        let ports = ports.expect("they are free");
        let (one, other) = (connect(&table, 1), connect(&table, 2));
        let told = drain(reactor, LIMIT);
        table.settle();
        assert!(ports.iter().all(|port| !port.is_listening()));
        assert!(connect(&table, 1).is_none());
        one.expect("it is connected").write(b"x");
        table.settle();
        assert_eq!(told.get(), None, "one is left");
        other.expect("it is connected").write(b"x");
        table.settle();
        assert_eq!(told.get(), Some(0));
        table.advance(LIMIT * 2);
        assert!(
            reactor.listen("tcp:1", || Closes).is_ok(),
            "it goes on otherwise"
        );
    }

    #[test]
    fn nobody_is_waited_for_longer_than_the_limit() {
        let table = Table::new();
        let reactor = table.reactor();
        let _port = reactor.listen("tcp:1", || Closes).expect("it is free");
        let transport = connect(&table, 1).expect("it is connected");
        let (short, long) = (drain(reactor, LIMIT), drain(reactor, LIMIT * 2));
        table.advance(LIMIT - Duration::from_millis(1));
        assert_eq!((short.get(), long.get()), (None, None));
        table.advance(Duration::from_millis(1));
        assert_eq!((short.get(), long.get()), (Some(1), None));
        transport.write(b"x");
        table.settle();
        assert_eq!(long.get(), Some(0));
    }

    /// Not from inside the call.
    #[test]
    fn without_anybody_it_is_over_in_the_next_turn() {
        let table = Table::new();
        let told = drain(table.reactor(), LIMIT);
        assert_eq!(told.get(), None);
        table.settle();
        assert_eq!(told.get(), Some(0));
        // What the reactor has connected to is no matter.
        let told = drain(table.reactor(), Duration::ZERO);
        table.settle();
        assert_eq!(told.get(), Some(0));
    }
}
