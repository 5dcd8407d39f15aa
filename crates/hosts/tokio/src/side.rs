//! A tokio runtime beside a reactor that runs its own loop: one thread for each reactor that asks for it. Knows nothing
//! of the futures that run there.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{self, Future},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    thread,
    time::Duration,
};
use tokio::{runtime, sync::oneshot};
use tress_core::{Deferred, Failure, Reactor, Remote, Resolver, reactor::Rejected};

/// The thread's name.
const THREAD: &str = "tress-tokio";
/// How long a result waits before it knocks again at a reactor that has more calls from threads waiting than it takes.
const AGAIN: Duration = Duration::from_millis(5);

/// Futures that need tokio, for a reactor that runs its own loop.
pub trait OnTokio {
    /// Runs `future` in a tokio runtime on a thread of its own, and gives its result on the reactor's. For libraries
    /// that only work inside tokio. A panic in it is a failure. Cancelling the Deferred aborts the future; dropping the
    /// Deferred lets it run.
    ///
    /// The runtime has one thread, named `tress-tokio`, which the first call starts. It lives as long as the reactor,
    /// because what a library spawned there must; then what still runs there is dropped, and nobody waits for it.
    ///
    /// Inside [`run`](crate::run) there is no need of it: [`Reactor::spawn`] can await such a future on the spot.
    fn on_tokio<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static;
}

impl OnTokio for Reactor {
    #[track_caller]
    fn on_tokio<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let side = match self.extension(Side::start) {
            Ok(side) => side,
            Err(error) => return Deferred::fail(error),
        };
        let number = side.next();
        let remote = self.remote();
        let task = side.handle.spawn(async move {
            let outcome = guarded(future).await;
            deliver(&remote, number, outcome).await;
        });
        let aborts = task.abort_handle();
        let reactor = self.downgrade();
        let (resolver, deferred) = Deferred::with_canceller(move || {
            aborts.abort();
            if let Some(reactor) = reactor.upgrade() {
                drop(take::<T>(&reactor, number));
            }
        });
        side.waiting.borrow_mut().insert(number, Box::new(resolver));
        deferred
    }
}

/// The runtime of one reactor, and who waits for what it does.
struct Side {
    handle: runtime::Handle,
    /// A `Resolver<T>` for each future that has given no result yet.
    waiting: RefCell<BTreeMap<u64, Box<dyn Any>>>,
    last: Cell<u64>,
    /// Dropped with the reactor, which ends the thread.
    _lives: oneshot::Sender<()>,
}

impl Side {
    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (lives, mut reactor) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                // An error: nothing is ever sent.
                runtime.block_on(&mut reactor).ok();
                // Whatever blocks in it may go on, but keeps nobody.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            handle,
            waiting: RefCell::default(),
            last: Cell::new(0),
            _lives: lives,
        })
    }

    fn next(&self) -> u64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }
}

/// What came of a future: its result, or what it panicked with.
type Outcome<T, E> = thread::Result<Result<T, E>>;

async fn guarded<T, E>(future: impl Future<Output = Result<T, E>>) -> Outcome<T, E> {
    let mut future = pin!(future);
    future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    })
    .await
}

/// Brings the outcome to the reactor's thread.
async fn deliver<T, E>(remote: &Remote, number: u64, outcome: Outcome<T, E>)
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    let mut call = move |reactor: &Reactor| {
        if let Some(resolver) = take::<T>(reactor, number) {
            resolver.fire(failed(outcome));
        }
    };
    while let Err(Rejected::Full(_, refused)) = remote.call_from_thread(call) {
        tokio::time::sleep(AGAIN).await;
        call = refused;
    }
}

fn failed<T, E: Into<Failure>>(outcome: Outcome<T, E>) -> tress_core::Result<T> {
    match outcome {
        Ok(result) => result.map_err(Into::into),
        Err(payload) => Err(Failure::from_panic(&*payload)),
    }
}

/// Who waits for this future's result, if anybody does.
fn take<T: 'static>(reactor: &Reactor, number: u64) -> Option<Resolver<T>> {
    let side = reactor.extension(Side::start).ok()?;
    let resolver = side.waiting.borrow_mut().remove(&number)?;
    resolver.downcast().ok().map(|resolver| *resolver)
}
