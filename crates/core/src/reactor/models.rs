//! What the models of shared state stand on: a loop that waits as the reactor does, and how often each model is run.
//!
//! Run by `cargo xtask test`; by hand `RUSTFLAGS="--cfg loom" cargo test -p tress-core --lib models::`, and with `shuttle`
//! in loom's place.

use super::{
    mailbox::{Contents, Mailbox},
    sync::{Condvar, Mutex, lock, thread},
};
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

/// Ends the model's wait, as a driver's waker ends the driver's.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    news: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = self.news.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *lock(&self.rung) = true;
        self.news.notify_one();
    }
}

/// A loop with a mailbox for calls of type `C`.
pub(super) struct Loop<C> {
    bell: Arc<Bell>,
    pub(super) mailbox: Arc<Mailbox<C>>,
}

impl<C: Send + 'static> Loop<C> {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let mailbox = Arc::new(Mailbox::new(waker, 8));
        Self { bell, mailbox }
    }

    /// Turns until `done`: as the reactor does, it waits only when the mailbox is not signalled. A wake-up that is lost
    /// makes this wait for ever, which a model reports.
    pub(super) fn run_until(&self, mut turn: impl FnMut(Contents<C>, Vec<u64>) -> bool) {
        loop {
            let contents = self.mailbox.open();
            let ready = self.mailbox.take_ready();
            if turn(contents, ready) {
                return;
            }
            if !self.mailbox.is_signalled() {
                self.bell.wait();
            }
        }
    }

    pub(super) fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Mailbox<C>) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let mailbox = Arc::clone(&self.mailbox);
        thread::spawn(move || work(&mailbox))
    }
}

/// Tries every order with at most three preemptions: more finds no more of such short threads, and takes minutes.
#[cfg(loom)]
pub(super) fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Tries so many random orders, the same in each run, half of them of the kind that finds rare ones sooner.
#[cfg(shuttle)]
pub(super) fn check(model: impl Fn() + Send + Sync + 'static) {
    use shuttle::{Config, Runner, scheduler};
    const ORDERS: usize = 5_000;
    let model = Arc::new(model);
    for scheduler in [
        Box::new(scheduler::RandomScheduler::new_from_seed(1, ORDERS))
            as Box<dyn scheduler::Scheduler + Send>,
        Box::new(scheduler::PctScheduler::new_from_seed(2, 3, ORDERS)),
    ] {
        let model = Arc::clone(&model);
        Runner::new(scheduler, Config::new()).run(move || model());
    }
}
