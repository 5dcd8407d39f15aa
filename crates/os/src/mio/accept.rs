//! Accepting: in batches, and without spinning when descriptors run out.
//!
//! One descriptor is kept in reserve. When none is left it is given up, so that waiting peers can be accepted and
//! told by closing that there is no room; then the ports rest for a moment. Source: Twisted's `internet/tcp.py`.

use super::{Mio, READABLE, Socket, socket};
use crate::{
    blame::{Blame, blame},
    seam::{self, Call},
};
use mio::Interest;
use std::{fs::File, io, time::Duration};
use tress_core::{
    Time,
    clock::Clock,
    driver::{Report, Token},
};

/// Peers accepted from one port before everything else has its turn: at first, at least and at most. A port that
/// does not run dry may take twice as many next time; one that runs dry early, half as many.
const FIRST_BATCH: u32 = 64;
const SMALLEST_BATCH: u32 = 16;
const LARGEST_BATCH: u32 = 1024;
/// Peers turned away at once when descriptors run out.
const SHED_AT_ONCE: u32 = 32;
/// How long ports rest when descriptors have run out.
const REST: Duration = Duration::from_millis(100);

/// What the driver knows of accepting.
pub(super) struct Accepting {
    reserve: Option<File>,
    /// How many the port under the cursor has accepted in this turn.
    batch: u32,
    /// How many it may.
    batch_limit: u32,
    /// Ports that rest, and until when.
    resting: Vec<Token>,
    until: Option<Time>,
    /// A descriptor was closed since: no need to rest longer.
    freed: bool,
}

impl Accepting {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            reserve: Some(reserve()?),
            batch: 0,
            batch_limit: FIRST_BATCH,
            resting: Vec::new(),
            until: None,
            freed: false,
        })
    }

    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        !self.resting.is_empty()
    }

    /// The port under the cursor has run dry, or has accepted as many as it may: the next batch follows the demand.
    fn end_batch(&mut self) {
        if self.batch >= self.batch_limit {
            self.batch_limit = (self.batch_limit * 2).min(LARGEST_BATCH);
        } else if self.batch < self.batch_limit / 2 {
            self.batch_limit = (self.batch_limit / 2).max(SMALLEST_BATCH);
        }
        self.batch = 0;
    }

    #[inline]
    pub(super) fn descriptor_freed(&mut self) {
        self.freed = true;
    }

    /// A wait must end when the rest does.
    pub(super) fn shorten(&self, timeout: Option<Duration>) -> Option<Duration> {
        let rest = if self.freed { Duration::ZERO } else { REST };
        Some(timeout.map_or(rest, |timeout| timeout.min(rest)))
    }

    /// When that is.
    pub(super) fn deadline(&self) -> Time {
        match self.until {
            _ if self.resting.is_empty() => Time::NEVER,
            Some(until) if !self.freed => until,
            Some(_) | None => Time(0),
        }
    }

    /// The ports whose rest is over.
    fn rested(&mut self, now: Time) -> Vec<Token> {
        if !self.freed && self.until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        if self.reserve.is_none() {
            self.reserve = reserve().ok();
        }
        self.until = None;
        std::mem::take(&mut self.resting)
    }
}

impl<C: Clock> Mio<C> {
    /// Looks again, in the next round, at ports whose rest is over.
    #[cold]
    pub(super) fn look_at_rested_ports(&mut self) {
        let rested = self.accepting.rested(self.clock.now());
        self.again
            .extend(rested.into_iter().map(|port| (port, READABLE)));
    }

    /// A port has peers waiting: one is accepted, and the cursor stays until none is left.
    pub(super) fn listener_event(&mut self, port: Token) -> Option<Report> {
        if self.accepting.batch >= self.accepting.batch_limit {
            self.again.push((port, READABLE));
            return self.leave_port();
        }
        if !self.slots[port.slot as usize].has(socket::READING) {
            self.slots[port.slot as usize].set(socket::UNREAD);
            return self.leave_port();
        }
        let Some(accepted) = self.slots[port.slot as usize].socket.next_peer() else {
            return self.leave_port();
        };
        match accepted {
            Ok((stream, peer)) => {
                self.accepting.batch += 1;
                match self.insert(Socket::Stream(stream), 0, Interest::READABLE) {
                    Ok(conn) => Some(Report::Accepted { port, conn, peer }),
                    Err(error) => Some(Report::AcceptFailed { port, error }),
                }
            }
            Err(error) => match blame(&error) {
                Blame::Nobody => self.leave_port(),
                Blame::Peer => {
                    self.accepting.batch += 1;
                    None
                }
                Blame::Shortage => {
                    self.turn_away(port);
                    self.rest(port, error)
                }
                Blame::Port => self.rest(port, error),
            },
        }
    }

    fn leave_port(&mut self) -> Option<Report> {
        self.accepting.end_batch();
        self.cursor += 1;
        None
    }

    /// Turns some peers away with the reserved descriptor.
    fn turn_away(&mut self, port: Token) {
        let socket = &self.slots[port.slot as usize].socket;
        for _ in 0..SHED_AT_ONCE {
            self.accepting.reserve = None;
            // Accepted and closed at once.
            let more = matches!(socket.next_peer(), Some(Ok(_)));
            self.accepting.reserve = reserve().ok();
            // With another one to be had, whoever comes now can be served.
            if !more || (self.accepting.reserve.is_some() && reserve().is_ok()) {
                break;
            }
        }
    }

    fn rest(&mut self, port: Token, error: io::Error) -> Option<Report> {
        self.accepting.resting.push(port);
        self.accepting.until = Some(self.clock.now() + REST);
        self.accepting.freed = false;
        self.leave_port();
        Some(Report::AcceptFailed { port, error })
    }
}

/// A descriptor that costs nothing else.
fn reserve() -> io::Result<File> {
    seam::call(Call::Open, || File::open("/dev/null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_the_demand_within_their_bounds() {
        let mut accepting = Accepting::new().expect("a descriptor");
        let mut end = |accepted: u32| {
            accepting.batch = accepted.min(accepting.batch_limit);
            accepting.end_batch();
            accepting.batch_limit
        };
        assert_eq!([end(64), end(128), end(100)], [128, 256, 128]);
        assert_eq!([end(64), end(0), end(0), end(0)], [128, 64, 32, 16]);
        assert_eq!(end(0), SMALLEST_BATCH);
        assert_eq!((0..9).map(|_| end(u32::MAX)).last(), Some(LARGEST_BATCH));
    }
}
