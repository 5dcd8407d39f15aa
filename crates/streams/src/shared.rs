//! What a stream and the protocol below it share: unread bytes, the state of each direction, who waits for it.
//! Calls nobody while it is borrowed.
//!
//! ```text
//! Input:   Open --peer's end--> Ended      Open --lost--> Broken --told--> Ended
//! Output:  Open --close--> Closing --lost--> Done, Broken      Open --lost--> Done, Broken
//! ```
//! An input that has ended stays so, whatever happens to the connection after that. An output is `Done` when the
//! connection ended cleanly; both `Done` and `Broken` are final.

use crate::{
    error::to_io,
    unread::{Piece, Unread},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    io, mem,
    task::{Context, Poll, Waker},
};
use tress_core::{Failure, Transport, error::ConnectionDone};

/// With a high-water mark of zero there is never room: then this much is written whenever nothing waits.
const WRITE_BYTES_MIN: usize = 1024;

#[derive(Default)]
pub(crate) struct Shared {
    /// Empty until the connection is made.
    transport: OnceCell<Transport>,
    state: RefCell<State>,
    reader: Waiting,
    writer: Waiting,
}

#[derive(Default)]
struct State {
    unread: Unread,
    input: Input,
    output: Output,
}

#[derive(Default)]
enum Input {
    #[default]
    Open,
    Ended,
    /// The reader has not been told yet.
    Broken(Failure),
}

#[derive(Clone, Default)]
enum Output {
    #[default]
    Open,
    /// The writer has closed it; the connection lives.
    Closing,
    Done,
    Broken(Failure),
}

/// What the protocol tells.
impl Shared {
    /// The connection is there. `wanted` is false when nobody holds the stream any more.
    pub(crate) fn made(&self, transport: &Transport, wanted: bool) {
        transport.deliver_buffers();
        self.transport.set(transport.clone()).ok();
        if !wanted {
            return transport.lose_connection();
        }
        if matches!(self.state.borrow().output, Output::Closing) {
            transport.lose_write_connection();
        }
        self.writer.wake();
    }

    /// Bytes have come, which `keep` puts to the others.
    pub(crate) fn arrived(&self, transport: &Transport, keep: impl FnOnce(&mut Unread)) {
        let mut state = self.state.borrow_mut();
        keep(&mut state.unread);
        if state.unread.is_full() {
            transport.pause_producing();
        }
        drop(state);
        self.reader.wake();
    }

    /// Bytes that have come and have not been read.
    pub(crate) fn unread(&self) -> usize {
        self.state.borrow().unread.bytes()
    }

    /// The peer sends no more.
    pub(crate) fn read_closed(&self) {
        let mut state = self.state.borrow_mut();
        if matches!(state.input, Input::Open) {
            state.input = Input::Ended;
        }
        drop(state);
        self.reader.wake();
    }

    /// Everything written has left.
    pub(crate) fn flushed(&self) {
        self.writer.wake();
    }

    /// The connection has ended, or will never be. Comes once.
    pub(crate) fn lost(&self, reason: Failure) {
        let clean = reason.check::<ConnectionDone>().is_some();
        let mut state = self.state.borrow_mut();
        state.output = if clean {
            Output::Done
        } else {
            Output::Broken(reason.clone())
        };
        if matches!(state.input, Input::Open) {
            state.input = Input::Broken(reason);
        }
        drop(state);
        self.reader.wake();
        self.writer.wake();
    }
}

/// What the stream asks.
impl Shared {
    pub(crate) fn transport(&self) -> Option<&Transport> {
        self.transport.get()
    }

    pub(crate) fn has_ended(&self) -> bool {
        match self.state.borrow().output {
            Output::Open | Output::Closing => false,
            Output::Done | Output::Broken(_) => true,
        }
    }

    /// The next bytes; `None` at the end of them.
    pub(crate) fn poll_piece(&self, context: &Context<'_>) -> Poll<io::Result<Option<Piece>>> {
        let mut state = self.state.borrow_mut();
        if let Some(piece) = state.unread.pop() {
            return Poll::Ready(Ok(Some(piece)));
        }
        if matches!(state.input, Input::Open) {
            drop(state);
            self.reader.park(context);
            return Poll::Pending;
        }
        let input = mem::replace(&mut state.input, Input::Ended);
        drop(state);
        Poll::Ready(match input {
            Input::Open | Input::Ended => Ok(None),
            Input::Broken(reason) => Err(to_io(&reason)),
        })
    }

    /// A piece has been read; with the last one the peer may go on.
    pub(crate) fn done(&self, piece: Piece) {
        let mut state = self.state.borrow_mut();
        state.unread.done(piece);
        let resume = state.unread.is_empty();
        drop(state);
        if resume && let Some(transport) = self.transport.get() {
            transport.resume_producing();
        }
    }

    /// How much may be written, and where.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<io::Result<(&Transport, usize)>> {
        let output = self.state.borrow().output.clone();
        match output {
            Output::Open => {}
            Output::Closing | Output::Done => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Output::Broken(reason) => return Poll::Ready(Err(to_io(&reason))),
        }
        let Some(transport) = self.transport.get() else {
            self.writer.park(context);
            return Poll::Pending;
        };
        let room = transport.room();
        if room > 0 {
            return Poll::Ready(Ok((transport, room)));
        }
        if transport.statistics().queued == 0 {
            return Poll::Ready(Ok((transport, WRITE_BYTES_MIN)));
        }
        self.writer.park(context);
        transport.watch_flush();
        Poll::Pending
    }

    /// What has broken the connection, if anything has.
    pub(crate) fn check_output(&self) -> io::Result<()> {
        let output = self.state.borrow().output.clone();
        match output {
            Output::Open | Output::Closing | Output::Done => Ok(()),
            Output::Broken(reason) => Err(to_io(&reason)),
        }
    }

    /// Whether everything written has left. Of a connection that has ended nothing waits any more.
    pub(crate) fn poll_flush(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.check_output()?;
        match self.transport.get() {
            Some(transport) if transport.statistics().queued > 0 => {
                self.writer.park(context);
                transport.watch_flush();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Writes no more; the peer is told once everything has left.
    pub(crate) fn close(&self) {
        let mut state = self.state.borrow_mut();
        if matches!(state.output, Output::Open) {
            state.output = Output::Closing;
            if let Some(transport) = self.transport.get() {
                transport.lose_write_connection();
            }
        }
    }

    /// Nobody reads or writes any more.
    pub(crate) fn dropped(&self) {
        let unread = mem::take(&mut self.state.borrow_mut().unread);
        drop(unread);
        if let Some(transport) = self.transport.get() {
            transport.lose_connection();
        }
    }
}

/// Whom to wake, if anybody waits. In a cell of its own: to drop or to wake somebody may come back here.
#[derive(Default)]
struct Waiting(Cell<Option<Waker>>);

impl Waiting {
    fn park(&self, context: &Context<'_>) {
        let (waker, before) = match self.0.take() {
            Some(same) if same.will_wake(context.waker()) => (same, None),
            before => (context.waker().clone(), before),
        };
        self.0.set(Some(waker));
        drop(before);
    }

    fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
