//! A call from another thread takes the reactor with it, or an Rc: it is given the reactor.

use tress::prelude::*;

fn stop(reactor: Reactor) {
    let remote = reactor.remote();
    let stop = move || reactor.stop();
    remote.call_from_thread(move |_| drop(stop())).ok();
}

fn count(reactor: &Reactor, counter: Rc<Cell<u32>>) {
    let call = move |_: &Reactor| counter.set(counter.get() + 1);
    reactor.remote().call_from_thread(call).ok();
}

fn main() {}
