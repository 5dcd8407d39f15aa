//! A world whose reactors a foreign loop turns. Does not know which, nor their driver.

use crate::world::SocketWorld;
use std::{cell::RefCell, task::Waker};
use tress_core::{Reactor, driver::Driver, testing::ManualClock};

/// Reactors on drivers that `make` makes, and what wakes these: it is for the caller to say who turns them. `alone` is the
/// test that runs `close_peer_on_emfile`.
pub(crate) fn hosted<D: Driver>(
    make: impl Fn(ManualClock) -> D,
    alone: &'static str,
) -> (SocketWorld, Vec<Waker>) {
    let wakers: RefCell<Vec<Waker>> = RefCell::default();
    let make = |clock| {
        let driver = make(clock);
        wakers.borrow_mut().push(driver.waker());
        Reactor::with(driver)
    };
    let world = SocketWorld::new(make, alone)
        .with_datagrams(true)
        .with_adoption()
        .with_processes(true);
    (world, wakers.into_inner())
}
