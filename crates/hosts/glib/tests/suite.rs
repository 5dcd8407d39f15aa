//! The behaviour suite on reactors that GLib's default main loop turns: a server's and a client's, over TCP, and over
//! UNIX sockets what only those can do.
//!
//! All behaviours hold. Two of them the reactor turns itself, here too: `connect::run_until_a_deferred_fires`, which is
//! about its own loop, and `tasks::a_task_that_turns_the_loop_is_polled_again`. One is weaker:
//! `reactor_loop::statistics_count_turns`, as a host may make a turn more than it must.

#[path = "../../../os/tests/world/hosted.rs"]
mod hosted;
#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../../../os/tests/world/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "how long real sockets take")]
mod world;

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
    testing::suite::{BEHAVIOURS, World},
};
use tress_glib::Attached;
use tress_os::Mio;
use world::{SocketWorld, Turner};

/// A process has one default main loop, and each test a thread.
static MAIN_LOOP: Mutex<()> = Mutex::new(());

fn tcp_world() -> SocketWorld {
    world("in_glib::accept::close_peer_on_emfile")
}

fn unix_world() -> SocketWorld {
    world("none of these").with_unix_sockets()
}

fn world(alone: &'static str) -> SocketWorld {
    let alone_here = MAIN_LOOP.lock().unwrap_or_else(PoisonError::into_inner);
    let make = |clock| Mio::with_clock(clock).expect("epoll works");
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

tress_core::check_driver!(in_glib, tcp_world);

/// What goes through UNIX sockets only. They differ below the loop, and here one test waits for the other.
#[test]
fn descriptors_over_unix() {
    let of_theme = BEHAVIOURS.iter().filter(|(of, ..)| *of == "descriptors");
    for (_, _, behaviour) in of_theme {
        behaviour(&unix_world());
    }
}
