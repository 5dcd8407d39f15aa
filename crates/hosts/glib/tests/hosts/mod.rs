//! Two reactors that GLib's default main loop turns, for the behaviour suite. Does not know their driver.

#[path = "../../../../os/tests/world/hosted.rs"]
mod hosted;

use crate::world::{SocketWorld, Turner};
use glib::MainContext;
use hosted::hosted;
use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};
use tress_core::{
    Reactor, Result,
    driver::Driver,
    testing::{ManualClock, suite::World},
};
use tress_glib::Attached;

/// A process has one default main loop, and each test a thread.
static MAIN_LOOP: Mutex<()> = Mutex::new(());

/// A world whose reactors stand on drivers that `make` makes, and are attached to the main loop. `alone` is the test that
/// runs `close_peer_on_emfile`.
pub(crate) fn world<D: Driver>(
    make: impl Fn(ManualClock) -> D,
    alone: &'static str,
) -> SocketWorld {
    let alone_here = MAIN_LOOP.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut world, wakers) = hosted(make, alone);
    let reactors = [world.reactor(), world.client()];
    let attached = reactors.each_ref().map(|reactor| Some(attach(reactor)));
    world.turner = Rc::new(MainLoop {
        attached: RefCell::new(attached),
        reactors,
        wakers,
        _alone: alone_here,
    });
    world
}

fn attach(reactor: &Reactor) -> Attached {
    tress_glib::attach(reactor).expect("it has a descriptor")
}

struct MainLoop {
    attached: RefCell<[Option<Attached>; 2]>,
    reactors: [Reactor; 2],
    /// What wakes the reactors' drivers.
    wakers: Vec<Waker>,
    /// Released last.
    _alone: MutexGuard<'static, ()>,
}

impl MainLoop {
    fn place(&self, reactor: &Reactor) -> usize {
        usize::from(reactor.poll_fd() != self.reactors[0].poll_fd())
    }

    /// With one reactor detached until this is done.
    fn without<T>(&self, place: usize, action: impl FnOnce() -> T) -> T {
        drop(self.attached.borrow_mut()[place].take());
        let done = action();
        self.attached.borrow_mut()[place] = Some(attach(&self.reactors[place]));
        done
    }
}

impl Turner for MainLoop {
    fn go_on(&self, reactors: [&Reactor; 2], longest: Duration) -> bool {
        let turns = || reactors.map(|reactor| reactor.statistics().turns);
        let before = turns();
        let context = MainContext::default();
        if !context.iteration(false) && !longest.is_zero() {
            let ends = Rc::new(std::cell::Cell::new(false));
            let set = Rc::clone(&ends);
            let timer = glib::timeout_add_local_once(longest, move || set.set(true));
            while turns() == before && !ends.get() {
                context.iteration(true);
            }
            if !ends.get() {
                timer.remove();
            }
        }
        turns() != before
    }

    /// The other has no turn meanwhile.
    fn turn(&self, reactor: &Reactor) {
        let other = usize::from(self.place(reactor) == 0);
        let before = reactor.statistics().turns;
        self.clock_was_set();
        self.without(other, || {
            while reactor.statistics().turns == before {
                MainContext::default().iteration(true);
            }
        });
    }

    fn run(&self, reactor: &Reactor) -> Result {
        self.without(self.place(reactor), || tress_glib::run(reactor))
    }

    fn is_host(&self) -> bool {
        true
    }

    fn clock_was_set(&self) {
        self.wakers.iter().for_each(Waker::wake_by_ref);
    }
}
