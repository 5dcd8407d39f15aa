//! Closing a connection whose peer has sent what nobody read: closed at once, the kernel would throw away what we
//! sent last and reset the connection. So the socket stays for a moment, and what comes is thrown away.
//!
//! The core knows nothing of it: for it the connection has ended.

use super::{Mio, READABLE, Socket, socket};
use crate::seam::{self, Call};
use std::{
    collections::VecDeque,
    io::{self, Read},
    net::Shutdown,
    time::Duration,
};
use tress_core::{
    Time,
    clock::Clock,
    driver::{Report, Token},
};

/// How long a peer may take to close its side.
const LINGER: Duration = Duration::from_secs(2);
/// Thrown away at once; a peer that sends more than this without a pause is reset.
const DISCARDED_BYTES: usize = 262_144;

/// The sockets that linger, those that began first at the front.
#[derive(Default)]
pub(super) struct Lingering(VecDeque<(Time, Token)>);

impl Lingering {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A wait must end when the first has lingered long enough.
    pub(super) fn shorten(&self, timeout: Option<Duration>) -> Option<Duration> {
        Some(timeout.map_or(LINGER, |timeout| timeout.min(LINGER)))
    }

    /// When that is.
    pub(super) fn deadline(&self) -> Time {
        self.0.front().map_or(Time::NEVER, |(until, _)| *until)
    }
}

/// What is left of a connection that is to be closed.
enum Unread {
    Nothing,
    Something,
    TooMuch,
}

impl<C: Clock> Mio<C> {
    /// Lets a stream linger if there is unread input. False when it can be closed at once.
    pub(super) fn linger(&mut self, token: Token) -> bool {
        let until = self.clock.now() + LINGER;
        let Some(slot) = self.slot(token) else {
            return false;
        };
        let ended = slot.has(socket::ENDED);
        let Socket::Stream(stream) = &mut slot.socket else {
            return false;
        };
        if ended {
            return false;
        }
        match discard(stream) {
            Unread::Nothing => return false,
            Unread::TooMuch => {
                slot.socket.reset_on_close();
                return false;
            }
            Unread::Something => {}
        }
        if seam::call(Call::Shutdown, || stream.shutdown(Shutdown::Write)).is_err() {
            // The peer would not hear of the end as long as it lingers.
            return false;
        }
        if let Socket::Stream(stream) = std::mem::take(&mut slot.socket) {
            slot.socket = Socket::Lingering(stream);
        }
        self.lingering.0.push_back((until, token));
        // The peer may have closed already, whose edge is gone.
        self.again.push((token, READABLE));
        true
    }

    /// Something came from a peer whose connection lingers.
    pub(super) fn lingering_event(&mut self, token: Token) -> Option<Report> {
        self.cursor += 1;
        let slot = self.slot(token)?;
        let Socket::Lingering(stream) = &mut slot.socket else {
            return None;
        };
        let mut byte = [0; 1];
        let unread = discard(stream);
        let read = seam::once(Call::Recv, || stream.read(&mut byte));
        match (unread, read) {
            (Unread::TooMuch, _) => slot.socket.reset_on_close(),
            (_, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
            (Unread::Nothing | Unread::Something, _) => {}
        }
        self.remove(token);
        None
    }

    /// Ends those that have lingered long enough.
    #[cold]
    pub(super) fn end_lingering(&mut self) {
        let now = self.clock.now();
        while let Some(&(until, token)) = self.lingering.0.front() {
            let lingers = self
                .slot(token)
                .is_some_and(|slot| matches!(slot.socket, Socket::Lingering(_)));
            if lingers && until > now {
                return;
            }
            self.lingering.0.pop_front();
            if lingers {
                self.remove(token);
            }
        }
    }
}

/// Reads what is there and throws it away.
fn discard(stream: &mut impl Read) -> Unread {
    let mut buffer = [0; 4096];
    let mut discarded = 0;
    while discarded < DISCARDED_BYTES {
        let room = seam::room(Call::Recv, buffer.len());
        match room.and_then(|room| stream.read(&mut buffer[..room])) {
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
