//! Closing a connection whose peer has sent what nobody read: closed at once, the kernel would throw away what we
//! sent last and reset the connection. So the socket stays for a moment, and what comes is thrown away.
//!
//! The core knows nothing of it: for it the connection has ended.

use super::{
    Uring,
    slots::{ENDED, READING, State},
    work::Work,
};
use crate::seam::{self, Call};
use io_uring::types::Timespec;
use socket2::Socket;
use std::{io, mem::MaybeUninit, net::Shutdown, rc::Rc, time::Duration};
use tress_core::{clock::Clock, driver::Token};

/// How long a peer may take to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Thrown away at once; a peer that sends more than this without a pause is reset. Mio's 262,144, and what mio would have
/// read before.
pub(super) const DISCARDED_BYTES: usize = 262_144 + 65_536;

/// What is left of a connection that is to be closed.
enum Unread {
    Nothing,
    Something,
    TooMuch,
}

impl<C: Clock> Uring<C> {
    /// Lets a stream linger if there is unread input. False when it can be closed at once.
    pub(super) fn linger(&mut self, token: Token) -> bool {
        let Some(slot) = self.slots.get(token) else {
            return false;
        };
        let (State::Open, None, Some(socket)) = (slot.state, slot.outgoing, &slot.socket) else {
            return false;
        };
        if slot.has(ENDED) {
            return false;
        }
        match discard(socket) {
            Unread::Nothing if slot.parked.is_empty() => return false,
            Unread::Nothing | Unread::Something => {}
            Unread::TooMuch => {
                slot.reset_on_close();
                return false;
            }
        }
        if seam::call(Call::Shutdown, || socket.shutdown(Shutdown::Write)).is_err() {
            // The peer would not hear of the end as long as it lingers.
            return false;
        }
        slot.state = State::Lingering;
        slot.parked.clear();
        slot.set(READING);
        self.arm(token);
        self.ring
            .start(token, Work::Rest(Rc::new(Timespec::from(LINGER))));
        true
    }
}

/// Reads what is there and throws it away.
fn discard(socket: &Socket) -> Unread {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut discarded = 0;
    while discarded < DISCARDED_BYTES {
        let room = seam::room(Call::Recv, buffer.len());
        let flags = libc::MSG_DONTWAIT;
        match room.and_then(|room| socket.recv_with_flags(&mut buffer[..room], flags)) {
            Ok(0) => break,
            Ok(count) => discarded += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    match discarded {
        0 => Unread::Nothing,
        count if count < DISCARDED_BYTES => Unread::Something,
        _ => Unread::TooMuch,
    }
}
