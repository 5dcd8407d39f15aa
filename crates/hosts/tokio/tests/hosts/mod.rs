//! Two reactors that tokio turns, for the behaviour suite. Does not know their driver.

#[path = "../../../../os/tests/world/hosted.rs"]
mod hosted;

use crate::world::{SocketWorld, Turner};
use hosted::hosted;
use std::{cell::RefCell, future::Future, rc::Rc, task::Waker, time::Duration};
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    task::JoinHandle,
};
use tress_core::{
    Reactor, Result,
    driver::Driver,
    testing::{ManualClock, suite::World},
};

/// A world whose reactors stand on drivers that `make` makes, and are turned by one `LocalRuntime`. `alone` is the test
/// that runs `close_peer_on_emfile`.
pub(crate) fn world<D: Driver>(
    make: impl Fn(ManualClock) -> D,
    alone: &'static str,
) -> SocketWorld {
    let (mut world, wakers) = hosted(make, alone);
    let reactors = [world.reactor(), world.client()];
    world.turner = Rc::new(Hosts::new(reactors, wakers));
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
