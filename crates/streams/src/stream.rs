//! `Stream`: the handle that async code reads from and writes to. Knows the traits; what they mean is in `shared`.

use crate::{shared::Shared, unread::Piece};
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tress_core::Transport;

/// A connection as a stream of bytes each way. It belongs to the thread of its reactor. The [crate] says what reading,
/// writing and dropping it mean.
///
/// Each direction remembers one task: to read and write from two, use `split` of `futures-util`.
pub struct Stream {
    shared: Rc<Shared>,
    /// What is being read; never empty.
    current: Option<Piece>,
}

impl Stream {
    pub(crate) fn new(shared: Rc<Shared>) -> Self {
        Self {
            shared,
            current: None,
        }
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// The transport below: for addresses, options and deadlines. `None` until it is connected.
    #[must_use]
    pub fn transport(&self) -> Option<&Transport> {
        self.shared.transport()
    }

    /// Resets the connection: what was written and has not left is thrown away.
    pub fn abort(self) {
        if let Some(transport) = self.shared.transport() {
            transport.abort_connection();
        }
    }

    /// What can be read now, at least one byte; nothing at the end.
    fn poll_filled(&mut self, context: &Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.current.is_none() {
            self.current = ready!(self.shared.poll_piece(context))?;
        }
        Poll::Ready(Ok(self.current.as_deref().unwrap_or_default()))
    }

    fn consumed(&mut self, count: usize) {
        let Some(current) = &mut self.current else {
            assert_eq!(count, 0, "consumed more than there was");
            return;
        };
        current.advance(count);
        if current.is_empty()
            && let Some(piece) = self.current.take()
        {
            self.shared.done(piece);
        }
    }

    /// Hands as many of the bytes that can be read to `take` as it may have, at most `room`; says how many.
    pub(crate) fn poll_take(
        &mut self,
        context: &Context<'_>,
        room: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_filled(context))?;
        let count = bytes.len().min(room);
        take(&bytes[..count]);
        self.consumed(count);
        Poll::Ready(Ok(count))
    }

    /// Writes what there is room for of these, one after the other.
    pub(crate) fn poll_send(
        &self,
        context: &Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (transport, room) = ready!(self.shared.poll_room(context))?;
        let mut left = room;
        for buffer in buffers {
            let count = buffer.len().min(left);
            transport.write(&buffer[..count]);
            left -= count;
        }
        Poll::Ready(Ok(room - left))
    }

    /// What has broken the connection, if anything has.
    #[cfg(feature = "hyper")]
    pub(crate) fn check(&self) -> io::Result<()> {
        self.shared.check_output()
    }

    pub(crate) fn poll_sent(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_flush(context)
    }

    pub(crate) fn poll_closed(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.shared.close();
        self.shared.poll_flush(context)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_take(context, buffer.len(), |bytes| {
            buffer[..bytes.len()].copy_from_slice(bytes);
        })
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_filled(context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.consumed(count);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_closed(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.current = None;
        self.shared.dropped();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.transport()).finish()
    }
}
