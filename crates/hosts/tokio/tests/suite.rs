//! The behaviour suite on reactors that tokio turns: a server's and a client's, in one `LocalRuntime`, over TCP and over
//! UNIX sockets.
//!
//! All behaviours hold. Two of them the reactor turns itself, here too: `connect::run_until_a_deferred_fires`, which is
//! about its own loop, and `tasks::a_task_that_turns_the_loop_is_polled_again`. One is weaker:
//! `reactor_loop::statistics_count_turns`, as a host may make a turn more than it must.

#[expect(
    dead_code,
    reason = "not all of the programs that share it need all of it"
)]
#[path = "../../../os/tests/world/mod.rs"]
#[expect(clippy::disallowed_methods, reason = "how long real sockets take")]
mod world;

use std::{cell::RefCell, future::Future, rc::Rc, task::Waker, time::Duration};
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    task::JoinHandle,
};
use tress_core::{Reactor, Result, driver::Driver, testing::suite::World};
use tress_os::Mio;
use world::{SocketWorld, Turner};

fn tcp_world() -> SocketWorld {
    world("in_tokio::accept::close_peer_on_emfile")
}

fn unix_world() -> SocketWorld {
    world("in_tokio_over_unix::accept::close_peer_on_emfile").with_unix_sockets()
}

fn world(alone: &'static str) -> SocketWorld {
    let wakers: RefCell<Vec<Waker>> = RefCell::default();
    let make = |clock| {
        let driver = Mio::with_clock(clock).expect("epoll works");
        wakers.borrow_mut().push(driver.waker());
        Reactor::with(driver)
    };
    let mut world = SocketWorld::new(make, alone)
        .with_datagrams(true)
        .with_adoption()
        .with_processes(true);
    let reactors = [world.reactor(), world.client()];
    world.turner = Rc::new(Hosts::new(reactors, wakers.into_inner()));
    world
}

/// A runtime with a task for each reactor, which turns it whether it runs or not.
struct Hosts {
    runtime: LocalRuntime,
    reactors: [Reactor; 2],
    tasks: RefCell<[JoinHandle<()>; 2]>,
    /// What wakes the reactors' drivers.
    wakers: Vec<Waker>,
}

impl Hosts {
    fn new(reactors: [Reactor; 2], wakers: Vec<Waker>) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("there is room for one");
        let tasks = reactors.each_ref().map(|reactor| host(&runtime, reactor));
        Self {
            runtime,
            reactors,
            tasks: RefCell::new(tasks),
            wakers,
        }
    }

    fn place(&self, reactor: &Reactor) -> usize {
        usize::from(reactor.poll_fd() != self.reactors[0].poll_fd())
    }

    /// Without the task of one reactor, until this is done.
    fn without<T>(&self, place: usize, future: impl Future<Output = T>) -> T {
        let mut tasks = self.tasks.borrow_mut();
        let task = &mut tasks[place];
        let done = self.runtime.block_on(async {
            task.abort();
            let ended = (&mut *task).await;
            assert!(ended.is_err_and(|end| end.is_cancelled()));
            future.await
        });
        *task = host(&self.runtime, &self.reactors[place]);
        done
    }
}

fn host(runtime: &LocalRuntime, reactor: &Reactor) -> JoinHandle<()> {
    let reactor = reactor.clone();
    runtime.spawn_local(async move {
        let ended = tress_tokio::turn_while(&reactor, || true).await;
        ended.expect("the driver works");
    })
}

impl Turner for Hosts {
    fn go_on(&self, reactors: [&Reactor; 2], longest: Duration) -> bool {
        let turns = || reactors.map(|reactor| reactor.statistics().turns);
        let before = turns();
        self.runtime.block_on(async {
            tokio::task::yield_now().await;
            if turns() == before && !longest.is_zero() {
                tokio::time::sleep(longest).await;
            }
        });
        turns() != before
    }

    /// The other has no turn meanwhile.
    fn turn(&self, reactor: &Reactor) {
        let other = usize::from(self.place(reactor) == 0);
        let before = reactor.statistics().turns;
        self.clock_was_set();
        self.without(other, async {
            while reactor.statistics().turns == before {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Instead of its task, as one descriptor cannot be watched twice.
    fn run(&self, reactor: &Reactor) -> Result {
        self.without(self.place(reactor), tress_tokio::run(reactor))
    }

    fn is_host(&self) -> bool {
        true
    }

    fn clock_was_set(&self) {
        self.wakers.iter().for_each(Waker::wake_by_ref);
    }
}

tress_core::check_driver!(in_tokio, tcp_world);
tress_core::check_driver!(in_tokio_over_unix, unix_world);
