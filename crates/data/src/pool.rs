//! The pool as the loop sees it: who waits, who is cancelled, when it is closed. Touches no connection itself: that is
//! for threads, and in `connections`.
//!
//! ```text
//! waiting --a connection is free--> working --commit--> done
//!    |                                 |
//!    +--cancelled: never begins        +--cancelled before the commit: taken back
//! ```

use crate::{
    connections::{Connections, DataError, Wanted},
    limits::PoolLimits,
};
use rusqlite::{Connection, Params, Row, Transaction};
use std::{
    cell::{Cell, RefCell},
    fmt,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};
use tress_core::{
    Canceller, Deferred, Reactor, Result, ThreadFailure, WeakReactor, error::ReactorGone,
    gather_results, sync::Semaphore,
};

/// Connections to one SQLite file, and work on them by the reactor's threads. Clones are the same pool.
///
/// Work begins in the order in which it was asked for, each with a connection of its own, at most
/// [`PoolLimits::connections`] at once. **Cancelling** the Deferred of a piece of work that has not begun means that it
/// never does; one that works is interrupted, and what it has changed is taken back if it is an interaction, unless it
/// was being committed at that moment. Either way the Deferred fails with [`Cancelled`](tress_core::error::Cancelled) at
/// once, and the connection is free for others when its thread has let go of it.
///
/// Source: Twisted's `adbapi.ConnectionPool`. Dropped without [`ConnectionPool::close`], it closes its file on the loop's
/// thread.
#[derive(Clone)]
pub struct ConnectionPool(Rc<Pool>);

struct Pool {
    reactor: WeakReactor,
    connections: Arc<Connections>,
    turns: Semaphore,
    limits: PoolLimits,
    closed: Cell<bool>,
}

impl ConnectionPool {
    /// Opens the file, or makes it, while the loop waits: a program does this before it serves. The path is the file's
    /// name and nothing else; an URI is not understood.
    ///
    /// # Errors
    /// [`DataError::NoFile`]; what SQLite says of a file that cannot be opened or is no database.
    pub fn open(
        reactor: &Reactor,
        path: impl Into<PathBuf>,
        limits: PoolLimits,
    ) -> Result<Self, ThreadFailure> {
        Self::open_with(reactor, path, limits, |_| Ok(()))
    }

    /// The same, and calls `first` with the first connection while the loop waits: to make tables, or to see whether those
    /// that are there are the right ones. Twisted's `cp_openfun`.
    ///
    /// # Errors
    /// As [`ConnectionPool::open`], and what `first` fails with.
    pub fn open_with(
        reactor: &Reactor,
        path: impl Into<PathBuf>,
        limits: PoolLimits,
        first: impl FnOnce(&mut Connection) -> Result<(), ThreadFailure>,
    ) -> Result<Self, ThreadFailure> {
        let connections = Connections::new(path.into(), limits)?;
        connections.with_connection(&Wanted::default(), first)?;
        let most = limits.connections.max(1);
        Ok(Self(Rc::new(Pool {
            reactor: reactor.downgrade(),
            connections: Arc::new(connections),
            // Those that close the pool wait, too.
            turns: Semaphore::new(most).waiters_max(limits.waiting.saturating_add(most)),
            limits,
            closed: Cell::new(false),
        })))
    }

    /// All rows of one statement, each as `row` reads it: `|row| row.get("status")`. It fails with
    /// [`DataError::TooManyRows`] or [`DataError::TooManyBytes`] beyond the limits. Twisted's `runQuery`.
    #[track_caller]
    pub fn run_query<T: Send + 'static>(
        &self,
        sql: impl Into<String>,
        params: impl Params + Send + 'static,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Deferred<Vec<T>> {
        let sql = sql.into();
        self.work(move |connections, wanted| {
            connections.with_connection(wanted, |connection| {
                connections.rows(connection, &sql, params, row)
            })
        })
    }

    /// One statement that gives no rows, and how many it has changed. Twisted's `runOperation`.
    #[track_caller]
    pub fn run_operation(
        &self,
        sql: impl Into<String>,
        params: impl Params + Send + 'static,
    ) -> Deferred<usize> {
        let sql = sql.into();
        self.run_interaction(move |transaction| {
            Ok(transaction.prepare_cached(&sql)?.execute(params)?)
        })
    }

    /// Several statements in one transaction, on a thread: committed when `work` returns `Ok`, taken back when it fails,
    /// panics, is cancelled or takes too long. Twisted's `runInteraction`.
    #[track_caller]
    pub fn run_interaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ThreadFailure> + Send + 'static,
    ) -> Deferred<T> {
        self.work(move |connections, wanted| connections.with_transaction(wanted, work))
    }

    /// Anything with one connection, on a thread, without a transaction around it. A connection on which `work` leaves a
    /// transaction open is closed. Twisted's `runWithConnection`.
    #[track_caller]
    pub fn run_with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ThreadFailure> + Send + 'static,
    ) -> Deferred<T> {
        self.work(move |connections, wanted| connections.with_connection(wanted, work))
    }

    /// Takes no more work, waits for what was asked for before, and closes the file. Closing it twice does nothing more.
    pub fn close(&self) -> Deferred<()> {
        let pool = Rc::clone(&self.0);
        if pool.closed.replace(true) {
            return Deferred::succeed(());
        }
        let turns = (0..pool.turns.limit()).map(|_| pool.turns.acquire());
        gather_results(turns).add_callback(move |turns| {
            let Some(reactor) = pool.reactor.upgrade() else {
                return Deferred::fail(ReactorGone);
            };
            let connections = Arc::clone(&pool.connections);
            let closed = reactor.defer_to_thread(move || connections.close_idle());
            closed.add_both(move |result| {
                drop(turns);
                result
            })
        })
    }

    /// How many pieces of work wait for a connection.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.turns.waiting()
    }

    /// How many connections are at work.
    #[must_use]
    pub fn working(&self) -> usize {
        self.0.turns.limit() - self.0.turns.tokens()
    }

    /// Has a thread do `work` when a connection is free. The turn is held until the thread is done, also when nobody
    /// waits for it any more.
    #[track_caller]
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connections, &Wanted) -> Result<T, ThreadFailure> + Send + 'static,
    ) -> Deferred<T> {
        let pool = &self.0;
        let Some(reactor) = pool.reactor.upgrade() else {
            return Deferred::fail(ReactorGone);
        };
        if pool.closed.get() {
            return Deferred::fail(DataError::Closed);
        }
        if pool.turns.waiting() >= pool.limits.waiting && pool.turns.tokens() == 0 {
            return Deferred::fail(DataError::TooManyWaiting(pool.limits.waiting));
        }
        let (wanted, place) = (Wanted::default(), Rc::new(Place::default()));
        let (resolver, deferred) = Deferred::with_canceller({
            let (wanted, place) = (wanted.clone(), Rc::clone(&place));
            move || {
                wanted.give_up();
                place.leave();
            }
        });
        let (connections, on) = (Arc::clone(&pool.connections), reactor.downgrade());
        let taken = Rc::clone(&place);
        let done = pool.turns.run(move || {
            taken.has_begun.set(true);
            let Some(reactor) = on.upgrade() else {
                return Deferred::fail(ReactorGone);
            };
            reactor.defer_to_thread(move || work(&connections, &wanted))
        });
        place.waiting.replace(done.canceller());
        done.add_both(move |result| resolver.fire(result)).detach();
        deferred.add_timeout(&reactor, pool.limits.time)
    }
}

/// A place among those that wait for a connection.
#[derive(Default)]
struct Place {
    waiting: RefCell<Option<Canceller>>,
    has_begun: Cell<bool>,
}

impl Place {
    /// Once it has begun it is the thread that looks whether it is wanted: cancelling what waits for the thread would
    /// give the turn to others too early.
    fn leave(&self) {
        if let Some(waiting) = self.waiting.take()
            && !self.has_begun.get()
        {
            waiting.cancel();
        }
    }
}

impl fmt::Debug for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPool")
            .field("connections", &self.0.connections)
            .field("working", &self.working())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
