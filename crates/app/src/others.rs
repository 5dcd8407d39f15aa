//! The applications of the other workers of this process: what is done on all of them. Starts no thread, and knows no file.

use crate::control::Control;
use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tress_core::{Deferred, Reactor, Remote, Resolver};

/// The loops of the other workers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others(Arc<Mutex<Vec<Remote>>>);

/// The application of a reactor that is one of several workers.
#[derive(Default)]
struct Here(RefCell<Control>);

/// On the first worker: how many others have not left yet, and who waits for them.
#[derive(Default)]
struct Leaving {
    staying: Cell<usize>,
    waiting: RefCell<Option<Resolver<()>>>,
}

fn here(reactor: &Reactor) -> Control {
    let Ok(here) = reactor.extension(|| Ok::<_, Infallible>(Here::default()));
    here.0.borrow().clone()
}

fn one_has_left(reactor: &Reactor) {
    let Ok(leaving) = reactor.extension(|| Ok::<_, Infallible>(Leaving::default()));
    leaving.staying.set(leaving.staying.get().saturating_sub(1));
    if leaving.staying.get() == 0
        && let Some(waiting) = leaving.waiting.take()
    {
        waiting.resolve(());
    }
}

impl Others {
    /// This is the application of that reactor.
    pub(crate) fn is_here(reactor: &Reactor, control: Control) {
        let Ok(here) = reactor.extension(|| Ok::<_, Infallible>(Here::default()));
        here.0.replace(control);
    }

    /// All of them.
    pub(crate) fn loops(&self) -> Vec<Remote> {
        self.lock().clone()
    }

    pub(crate) fn add(&self, other: Remote) {
        self.lock().push(other);
    }

    /// They read the file again, too.
    pub(crate) fn reload(&self) {
        for other in &*self.lock() {
            if let Err(refused) =
                other.call_from_thread(|reactor: &Reactor| here(reactor).reload_and_say())
            {
                tracing::warn!(target: "tress", "a worker does not read again: {refused:?}");
            }
        }
    }

    /// Another process has taken over: they listen no more either. Fires on `home`, the first worker, when nobody is connected to
    /// any of them; not at all when one hangs: its caller waits no longer than `limit`.
    pub(crate) fn leave(&self, home: &Reactor, limit: Duration) -> Deferred<()> {
        let Ok(leaving) = home.extension(|| Ok::<_, Infallible>(Leaving::default()));
        let mut staying = 0;
        for other in &*self.lock() {
            let back = home.remote();
            let leave = move |reactor: &Reactor| {
                let left = here(reactor).leave(reactor, limit);
                // The first worker may have ended.
                left.map(move |()| drop(back.call_from_thread(one_has_left)))
                    .detach();
            };
            // One that has ended has left.
            staying += usize::from(other.call_from_thread(leave).is_ok());
        }
        if staying == 0 {
            return Deferred::succeed(());
        }
        let (resolver, left) = Deferred::pair();
        leaving.staying.set(staying);
        leaving.waiting.replace(Some(resolver));
        left
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Remote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
