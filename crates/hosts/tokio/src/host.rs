//! The reactor as a future: tokio watches its descriptor and its next deadline, and it turns when one of them, or what
//! somebody asked of it between turns, says so. Knows nothing of what the reactor does in a turn.

use std::{
    future::{self, Future},
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, Sleep},
};
use tress_core::{Reactor, Result};

/// Starts the reactor and turns it on this thread until it has stopped, beside tokio's own tasks: after each turn they
/// have theirs. A reactor that runs already goes on: so dropping this future loses nothing, and another `run` may follow.
///
/// It runs in any tokio runtime that has I/O and time enabled, but it is not `Send`: in a `LocalRuntime`, whose tasks
/// need not be either and so can hold reactors and transports; in a `LocalSet`; or in the `block_on` of any runtime.
/// tokio's timers count milliseconds, so timed calls are at most one late.
///
/// A future that needs tokio can be awaited in a task of the reactor ([`Reactor::spawn`]) here, since it is polled on
/// tokio's thread.
///
/// # Errors
/// The driver has no descriptor that could be watched, or can go on no more.
///
/// # Panics
/// Outside of a tokio runtime, or in one without I/O or time.
pub async fn run(reactor: &Reactor) -> Result {
    let host = Host::new(reactor)?;
    if !reactor.is_running() {
        reactor.start()?;
    }
    host.turn_while(|| reactor.is_running()).await
}

/// The same for a reactor that somebody else starts and stops: turns it as long as `condition` holds, which is asked
/// after each turn.
///
/// # Errors
/// As for [`run`].
///
/// # Panics
/// As for [`run`].
pub async fn turn_while(reactor: &Reactor, condition: impl Fn() -> bool) -> Result {
    Host::new(reactor)?.turn_while(condition).await
}

/// What tokio watches for one reactor.
struct Host {
    descriptor: AsyncFd<Descriptor>,
    timer: Pin<Box<Sleep>>,
    /// Dropped last, as it owns the descriptor.
    reactor: Reactor,
}

/// The reactor's own descriptor, which is open as long as the reactor is there.
struct Descriptor(RawFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Host {
    fn new(reactor: &Reactor) -> io::Result<Self> {
        let Some(descriptor) = reactor.poll_fd() else {
            let text = "the reactor's driver has no descriptor for another loop to watch";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        #[expect(
            deprecated,
            reason = "the new one is unsafe: it wants the promise that the descriptor stays open, which `Host` keeps"
        )]
        let descriptor = AsyncFd::with_interest(Descriptor(descriptor), Interest::READABLE)?;
        Ok(Self {
            descriptor,
            // Due now, and so set anew when it is needed.
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            reactor: reactor.clone(),
        })
    }

    async fn turn_while(mut self, condition: impl Fn() -> bool) -> Result {
        loop {
            self.reactor.turn(Some(Duration::ZERO))?;
            if !condition() {
                return Ok(());
            }
            self.rest().await;
        }
    }

    /// Lets tokio go on until another turn is worth while.
    async fn rest(&mut self) {
        let mut first = true;
        let backlog =
            future::poll_fn(|context| self.poll_rest(context, std::mem::take(&mut first)));
        if backlog.await {
            tokio::task::yield_now().await;
        }
    }

    /// Ready when there is something to do, and true when that was so from the beginning, so that nobody else has had
    /// a turn.
    fn poll_rest(&mut self, context: &mut Context<'_>, first: bool) -> Poll<bool> {
        let Some(longest) = self.reactor.rest(Some(context.waker())) else {
            return self.poll_descriptor(context);
        };
        if longest.is_zero() {
            return Poll::Ready(first);
        }
        let until = Instant::now() + longest;
        // One that ends too early is cheaper than one that is set in every turn.
        if self.timer.is_elapsed() || until < self.timer.deadline() {
            self.timer.as_mut().reset(until);
        }
        match self.timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => self.poll_descriptor(context),
        }
    }

    fn poll_descriptor(&self, context: &mut Context<'_>) -> Poll<bool> {
        match self.descriptor.poll_read_ready(context) {
            Poll::Ready(Ok(mut ready)) => {
                // Before the turn, which takes all there is: what comes after that is told again.
                ready.clear_ready();
                Poll::Ready(false)
            }
            // The runtime shuts down, and drops this future next.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}
