//! What goes out: one piece in flight for each connection, which the ring keeps until it has left.
//!
//! Much output is first offered to the kernel directly: what fits there has left, and does not count as queued.

use super::{
    Uring,
    slots::{SHUT, State},
    work::{Piece, Work},
};
use crate::seam::{self, Call};
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    rc::Rc,
};
use tress_core::{
    clock::Clock,
    driver::{Report, Token},
    outgoing::{Outgoing, Taken},
};

/// So many small pieces, of together so many bytes, are copied together: each piece costs a turn.
const JOINED_PIECES: usize = 64;
const JOINED_BYTES: usize = 32_768;
/// From so many bytes on, a call of its own is cheaper than to have them wait for the ring.
const DIRECT_BYTES: usize = 32_768;

impl<C: Clock> Uring<C> {
    /// Takes a piece, unless one is in flight.
    pub(super) fn start_sending(&mut self, conn: Token, out: &mut Outgoing) -> io::Result<()> {
        let Some(slot) = self.slots.get(conn) else {
            return Ok(());
        };
        let (State::Open, None, Some(socket)) = (slot.state, slot.outgoing, &slot.socket) else {
            return Ok(());
        };
        if out.unsent() >= DIRECT_BYTES {
            send_directly(socket, out)?;
        }
        if let Some(taken) = take(out) {
            self.start_piece(conn, Piece { taken, sent: 0 });
        }
        Ok(())
    }

    fn start_piece(&mut self, conn: Token, piece: Piece) {
        if let Some(slot) = self.slots.get(conn)
            && let Some(socket) = &slot.socket
        {
            let work = Work::Send(Rc::clone(socket), piece);
            slot.outgoing = Some(self.ring.start(conn, work));
        }
    }

    /// A piece, or some of it, has left; the rest goes on its way at once.
    pub(super) fn sent(
        &mut self,
        conn: Token,
        result: io::Result<usize>,
        mut piece: Piece,
    ) -> Option<Report> {
        let slot = self.slots.get(conn)?;
        slot.outgoing = None;
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
                    self.start_piece(conn, piece);
                    return None;
                }
                self.remove(conn);
                return Some(Report::Closed { token: conn, error });
            }
        };
        piece.sent += bytes;
        let emptied = if piece.rest().is_empty() {
            if slot.has(SHUT) {
                self.shut_after_sending(conn);
            }
            piece.taken.emptied()
        } else {
            self.start_piece(conn, piece);
            None
        };
        Some(Report::Sent {
            conn,
            bytes,
            emptied,
        })
    }

    /// Shuts the write side, at the latest when what is in flight has left.
    pub(super) fn shut_after_sending(&mut self, conn: Token) {
        let Some(slot) = self.slots.get(conn) else {
            return;
        };
        let (State::Open, Some(socket)) = (slot.state, &slot.socket) else {
            return;
        };
        if slot.outgoing.is_none() {
            let shut = seam::call(Call::Shutdown, || socket.shutdown(Shutdown::Write));
            if let Err(error) = shut
                && error.kind() != io::ErrorKind::NotConnected
            {
                self.broken(conn, error);
            }
            // Otherwise the peer has gone, which reading will tell.
        } else {
            slot.set(SHUT);
        }
    }
}

/// Sends what the kernel has room for.
fn send_directly(socket: &Socket, out: &mut Outgoing) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); JOINED_PIECES];
        let count = out.slices(&mut slices);
        let sent = seam::write_vectored(Call::Sendmsg, &slices[..count], |slices| {
            socket.send_vectored_with_flags(slices, flags)
        });
        match sent {
            Ok(sent) => out.consume(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first piece; with those after it, when they are small.
fn take(out: &mut Outgoing) -> Option<Taken> {
    let mut slices = [IoSlice::new(&[]); JOINED_PIECES];
    let mut joined = 0;
    let count = out.slices(&mut slices);
    let together = slices[..count].iter().take_while(|slice| {
        joined += slice.len();
        joined <= JOINED_BYTES
    });
    let count = together.count();
    let first = out.take()?;
    if count <= 1 {
        return Some(first);
    }
    let (mut bytes, start) = match first {
        Taken::Copied(bytes, start) => (bytes, start),
        Taken::Shared(bytes) => (bytes.to_vec(), 0),
    };
    for _ in 1..count {
        if let Some(next) = out.take() {
            bytes.extend_from_slice(next.bytes());
        }
    }
    Some(Taken::Copied(bytes, start))
}
