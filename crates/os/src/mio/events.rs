//! What an event of a connection comes to: room, bytes, an end, or that it has been made. Waits for none.

use super::{
    Mio, pack,
    socket::{self, HUNG_UP, READABLE, Socket, WRITABLE},
};
use crate::seam::{self, Call};
use mio::Interest;
use socket2::SockRef;
use std::io::{self, Read};
use tress_core::{
    clock::Clock,
    driver::{Lease, Report, Token},
};

impl<C: Clock> Mio<C> {
    /// An event of a stream: room to write first, since that may close it; then data, end or error.
    pub(super) fn stream_event(
        &mut self,
        token: Token,
        bits: u8,
        lease: &mut Lease,
    ) -> Option<Report> {
        let room = self.room_event(token, bits);
        if room.is_some() {
            return room;
        }
        self.cursor += 1;
        if self.slots[token.slot as usize].has(socket::BROKEN) {
            return self.report_broken(token);
        }
        self.bytes_event(token, bits, lease)
    }

    /// There is room again for what waits, and the cursor stays for the rest of the event.
    pub(super) fn room_event(&mut self, token: Token, bits: u8) -> Option<Report> {
        let slot = &mut self.slots[token.slot as usize];
        if bits & WRITABLE == 0 || !slot.has(socket::BLOCKED) {
            return None;
        }
        slot.clear(socket::BLOCKED);
        self.ready[self.cursor].1 &= !WRITABLE;
        Some(Report::Sent {
            conn: token,
            bytes: 0,
            emptied: None,
        })
    }

    /// There may be something to read, for whoever wants it now.
    pub(super) fn bytes_event(
        &mut self,
        token: Token,
        bits: u8,
        lease: &mut Lease,
    ) -> Option<Report> {
        if bits & (READABLE | HUNG_UP) == 0 {
            return None;
        }
        let slot = &mut self.slots[token.slot as usize];
        if !slot.has(socket::READING) {
            slot.set(socket::UNREAD);
            return None;
        }
        self.read(token, bits, lease)
    }

    fn read(&mut self, token: Token, bits: u8, lease: &mut Lease) -> Option<Report> {
        let slot = &mut self.slots[token.slot as usize];
        let is_passing = slot.has(socket::PASSING);
        loop {
            // Behind what came with open files, or from some files, there may be more, however little came.
            let (received, may_have_more) = match &mut slot.socket {
                Socket::Stream(stream) if is_passing => {
                    (crate::passing::receive(stream, lease), true)
                }
                Socket::Stream(stream) => {
                    let room = seam::room(Call::Recv, lease.buffer.len());
                    let read = room.and_then(|room| stream.read(&mut lease.buffer[..room]));
                    (read, false)
                }
                Socket::Files(files) => {
                    (files.read_input(&mut lease.buffer), files.may_have_more())
                }
                _ => return None,
            };
            match received {
                Ok(0) => {
                    slot.clear(socket::READING);
                    slot.set(socket::ENDED);
                    return Some(Report::ReadClosed { conn: token });
                }
                Ok(length) => {
                    if length == lease.buffer.len() || bits & HUNG_UP != 0 || may_have_more {
                        self.again.push((token, bits));
                    }
                    lease.length = length;
                    return Some(Report::Data { conn: token });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.remove(token);
                    return Some(Report::Closed { token, error });
                }
            }
        }
    }

    /// A connection is of no use any more, for a reason that only a report in the next round can tell.
    #[cold]
    pub(super) fn broken(&mut self, token: Token, error: io::Error) {
        if let Some(slot) = self.slot(token) {
            slot.set(socket::BROKEN);
            self.broken.push((token, error));
            self.again.push((token, HUNG_UP));
        }
    }

    #[cold]
    fn report_broken(&mut self, token: Token) -> Option<Report> {
        let mut broken = self.broken.iter();
        let place = broken.position(|(broken, _)| *broken == token)?;
        let (token, error) = self.broken.swap_remove(place);
        self.slot(token)?.socket.reset_on_close();
        self.remove(token);
        Some(Report::Closed { token, error })
    }

    /// A connection that is being made has come to something or to nothing.
    pub(super) fn connecting_event(&mut self, token: Token, bits: u8) -> Option<Report> {
        self.cursor += 1;
        let slot = &mut self.slots[token.slot as usize];
        let Socket::Connecting(stream) = &slot.socket else {
            return None;
        };
        if bits & (WRITABLE | HUNG_UP) == 0 {
            return None;
        }
        let failed = match seam::call(Call::Getsockopt, || stream.take_error()) {
            Ok(None) => match seam::call(Call::Getpeername, || SockRef::from(stream).peer_addr()) {
                Ok(_) => None,
                // Not yet: a spurious event.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return None,
                Err(error) => Some(error),
            },
            Ok(Some(error)) | Err(error) => Some(error),
        };
        if let Some(error) = failed {
            self.remove(token);
            return Some(Report::Closed { token, error });
        }
        slot.connected();
        // Data may have come with the last step of the handshake, whose edge this was.
        slot.set(socket::UNREAD);
        Some(Report::Connected { conn: token })
    }

    /// Makes the kernel report room. Connections that never block are never registered for it.
    pub(super) fn wait_for_room(&mut self, token: Token) -> io::Result<()> {
        let slot = &mut self.slots[token.slot as usize];
        slot.set(socket::BLOCKED);
        if slot.has(socket::FOR_WRITING) {
            return Ok(());
        }
        if let Some(source) = slot.socket.source() {
            let both = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            seam::call(Call::EpollCtl, || {
                registry.reregister(source, pack(token), both)
            })?;
        }
        slot.set(socket::FOR_WRITING);
        Ok(())
    }
}
