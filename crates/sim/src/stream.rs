//! One end of a virtual TCP connection: what arrives changes it, and it says what is to be reported next.
//! Knows no clock, no host and no driver.
//!
//! ```text
//!             Accepted          reported               Reset
//! Opening ------------> Made ------------> Open -------------------> Broken(kind) --reported--> gone
//!    |                    |                                               ^
//!    +------- Refused / Reset --------------------------------------------+
//! ```
//! An end that was reset before it was reported as made is reported as made and then as broken.
//! Within `Open` each direction has a state of its own ([`Input`], [`Output`]). An end that was closed is gone: it is
//! in no table any more, and whoever finds nobody to give its bytes to resets the sender.

use std::{collections::VecDeque, io, net::SocketAddr};
use tress_core::Time;

/// Names an end; the two ends of a connection differ in the lowest bit.
pub(crate) type EndId = u64;

/// The other end.
pub(crate) fn peer_of(end: EndId) -> EndId {
    end ^ 1
}

/// Who made the connection: the maker's end is the even one, and has a port of its own.
pub(crate) fn is_client(end: EndId) -> bool {
    end & 1 == 0
}

/// What travels to an end. Everything to one end arrives in order.
#[derive(Debug)]
pub(crate) enum Segment {
    /// The answer to an attempt: the connection is there.
    Accepted,
    /// The answer to an attempt: nobody listens.
    Refused,
    /// Bytes, at least one.
    Data(Vec<u8>),
    /// The other end has read this much: there is room again.
    Credit(usize),
    /// No more bytes follow.
    Fin,
    /// The connection is no more.
    Reset,
}

/// What is to be reported next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    Sent,
    Data,
    ReadClosed,
    Closed(io::ErrorKind),
}

/// The socket of a driver that an end belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) process: usize,
    pub(crate) slot: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Asked for; no answer yet.
    Opening,
    /// Answered, not yet reported; and what has ended it since, which is reported after that.
    Made(Option<io::ErrorKind>),
    Open,
    /// Ended from outside, not yet reported.
    Broken(io::ErrorKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// The peer's end of stream is here, not yet reported.
    Ended,
    Reported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// The window was too small for all; whoever sends waits to be told of room.
    Blocked,
    Shut,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// `None` while it waits in a listener's backlog.
    pub(crate) owner: Option<Owner>,
    /// When the last segment that is on its way here arrives.
    pub(crate) latest: Time,
    /// When the last byte that is sent here has left its sender, where links are narrow.
    pub(crate) link_free: Time,
    /// The host it is on, and the other end's.
    pub(crate) hosts: (usize, usize),
    life: Life,
    input: Input,
    output: Output,
    reading: bool,
    /// It belongs to a pipe between two processes of one host, and has no address.
    is_pipe: bool,
    unread: VecDeque<u8>,
    /// How much may be sent at once without an answer.
    window: usize,
    /// How much of the window is left.
    room: usize,
}

impl End {
    /// The end of whoever asks for a connection.
    pub(crate) fn opening(local: SocketAddr, peer: SocketAddr, window: usize) -> Self {
        Self {
            local,
            peer,
            owner: None,
            latest: Time(0),
            link_free: Time(0),
            hosts: (0, 0),
            life: Life::Opening,
            input: Input::Open,
            output: Output::Open,
            reading: false,
            is_pipe: false,
            unread: VecDeque::new(),
            window,
            room: window,
        }
    }

    /// The end of whoever listens.
    pub(crate) fn accepted(local: SocketAddr, peer: SocketAddr, window: usize) -> Self {
        Self {
            life: Life::Open,
            ..Self::opening(local, peer, window)
        }
    }

    /// One end of a pipe, which reads, writes, or does both.
    pub(crate) fn pipe(window: usize, reads: bool, writes: bool) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            is_pipe: true,
            input: if reads { Input::Open } else { Input::Reported },
            output: if writes { Output::Open } else { Output::Shut },
            ..Self::accepted(nowhere, nowhere, window)
        }
    }

    /// Where it is; a pipe is nowhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        (!self.is_pipe).then_some(self.local)
    }

    /// A segment is here.
    pub(crate) fn arrive(&mut self, segment: Segment) {
        if matches!(self.life, Life::Broken(_)) {
            return;
        }
        match segment {
            Segment::Accepted => self.life = Life::Made(None),
            Segment::Refused => self.break_with(io::ErrorKind::ConnectionRefused),
            Segment::Reset if self.life == Life::Opening => {
                self.break_with(io::ErrorKind::ConnectionRefused);
            }
            Segment::Reset if self.is_pipe => self.break_with(io::ErrorKind::BrokenPipe),
            Segment::Reset => self.break_with(io::ErrorKind::ConnectionReset),
            Segment::Data(bytes) => self.unread.extend(bytes),
            Segment::Credit(bytes) => self.room += bytes,
            Segment::Fin => self.input = Input::Ended,
        }
    }

    fn break_with(&mut self, kind: io::ErrorKind) {
        self.life = match self.life {
            Life::Made(_) => Life::Made(Some(kind)),
            Life::Opening | Life::Open | Life::Broken(_) => Life::Broken(kind),
        };
        self.unread = VecDeque::new();
    }

    /// What is to be reported next, if anything.
    pub(crate) fn event(&self) -> Option<Event> {
        match self.life {
            Life::Opening => None,
            Life::Made(_) => Some(Event::Connected),
            Life::Broken(kind) => Some(Event::Closed(kind)),
            Life::Open if self.output == Output::Blocked && self.has_room() => Some(Event::Sent),
            Life::Open if !self.reading => None,
            Life::Open if !self.unread.is_empty() => Some(Event::Data),
            Life::Open => (self.input == Input::Ended).then_some(Event::ReadClosed),
        }
    }

    /// Room worth reporting: a third of the window, as on Linux, so that nobody sends byte by byte.
    fn has_room(&self) -> bool {
        self.room >= self.window.div_ceil(3)
    }

    /// An event is being reported. `Data` is done by [`End::read`], and an end that was `Closed` is removed.
    pub(crate) fn reported(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.life = match self.life {
                    Life::Made(Some(kind)) => Life::Broken(kind),
                    Life::Made(None) | Life::Opening | Life::Open | Life::Broken(_) => Life::Open,
                }
            }
            Event::Sent => self.output = Output::Open,
            Event::ReadClosed => self.input = Input::Reported,
            Event::Data | Event::Closed(_) => {}
        }
    }

    /// Moves what has arrived into `buffer` and says how much.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.unread.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.unread.drain(..count)) {
            *place = byte;
        }
        count
    }

    pub(crate) fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Reserves room for up to `wanted` bytes, but for no more than `most`, and says how many may be sent.
    pub(crate) fn reserve(&mut self, wanted: usize, most: usize) -> io::Result<usize> {
        match (self.life, self.output) {
            (Life::Broken(kind), _) => Err(kind.into()),
            (Life::Opening | Life::Made(_), _) => Err(io::ErrorKind::NotConnected.into()),
            (Life::Open, Output::Shut) => Err(io::ErrorKind::BrokenPipe.into()),
            (Life::Open, Output::Open | Output::Blocked) => {
                let count = wanted.min(self.room).min(most);
                self.room -= count;
                self.output = if count < wanted {
                    Output::Blocked
                } else {
                    Output::Open
                };
                Ok(count)
            }
        }
    }

    /// Sends no more; what the peer is to be told.
    pub(crate) fn shut(&mut self) -> Option<Segment> {
        if self.life != Life::Open || self.output == Output::Shut {
            return None;
        }
        self.output = Output::Shut;
        Some(Segment::Fin)
    }

    /// The end is given up; what the peer is to be told. Bytes that nobody read are thrown away, and the peer may send
    /// more: so it learns, by a reset, that nobody is here, and does not wait for room for ever.
    pub(crate) fn close(mut self, abort: bool) -> [Option<Segment>; 2] {
        let unread = self.unread.len();
        match self.life {
            Life::Opening | Life::Broken(_) | Life::Made(Some(_)) => [None, None],
            // Who writes to it learns that nobody reads; who reads gets what was written, whoever closes and how.
            Life::Open if self.is_pipe && self.output == Output::Shut => {
                [Some(Segment::Reset), None]
            }
            Life::Made(None) | Life::Open if abort && !self.is_pipe => [Some(Segment::Reset), None],
            Life::Made(None) => [Some(Segment::Fin), None],
            Life::Open => [self.shut(), (unread > 0).then_some(Segment::Credit(unread))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: usize) -> End {
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let mut end = End::accepted(address, address, window);
        end.set_reading(true);
        end
    }

    fn opening() -> End {
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        End::opening(address, address, 10)
    }

    #[test]
    fn an_attempt_is_answered_once() {
        let mut end = opening();
        assert_eq!(end.event(), None);
        assert!(end.reserve(1, 1).is_err());
        end.arrive(Segment::Accepted);
        assert_eq!(end.event(), Some(Event::Connected));
        end.reported(Event::Connected);
        assert_eq!(end.event(), None);
        assert_eq!(end.reserve(1, 1).unwrap(), 1);

        let mut end = opening();
        end.arrive(Segment::Accepted);
        end.arrive(Segment::Reset);
        assert_eq!(end.event(), Some(Event::Connected));
        end.reported(Event::Connected);
        let reset = Event::Closed(io::ErrorKind::ConnectionReset);
        assert_eq!(end.event(), Some(reset));

        for answer in [Segment::Refused, Segment::Reset] {
            let mut end = opening();
            end.arrive(answer);
            let refused = Event::Closed(io::ErrorKind::ConnectionRefused);
            assert_eq!(end.event(), Some(refused));
            end.arrive(Segment::Accepted);
            assert_eq!(end.event(), Some(refused));
        }
    }

    #[test]
    fn the_end_of_the_stream_comes_after_its_bytes_and_only_to_who_reads() {
        let mut end = open(10);
        end.set_reading(false);
        end.arrive(Segment::Data(b"abc".to_vec()));
        end.arrive(Segment::Fin);
        assert_eq!(end.event(), None);
        end.set_reading(true);
        let mut buffer = [0; 2];
        assert_eq!(end.event(), Some(Event::Data));
        assert_eq!((end.read(&mut buffer), buffer), (2, *b"ab"));
        assert_eq!(end.event(), Some(Event::Data));
        assert_eq!((end.read(&mut buffer), buffer[0]), (1, b'c'));
        assert_eq!(end.event(), Some(Event::ReadClosed));
        end.reported(Event::ReadClosed);
        assert_eq!(end.event(), None);
    }

    #[test]
    fn room_is_reported_once_a_third_of_the_window_is_free() {
        let mut end = open(9);
        assert_eq!(end.reserve(9, 9).unwrap(), 9);
        end.arrive(Segment::Credit(9));
        assert_eq!(end.event(), None, "nobody waits for it");
        assert_eq!(end.reserve(12, 12).unwrap(), 9);
        end.arrive(Segment::Credit(2));
        assert_eq!(end.event(), None);
        end.arrive(Segment::Credit(1));
        assert_eq!(end.event(), Some(Event::Sent));
        end.reported(Event::Sent);
        assert_eq!(end.event(), None);
        assert_eq!(end.reserve(3, 3).unwrap(), 3);
    }

    #[test]
    fn a_reset_drops_what_was_not_read_and_breaks_writes() {
        let mut end = open(10);
        end.set_reading(false);
        end.arrive(Segment::Data(b"abc".to_vec()));
        end.arrive(Segment::Reset);
        let reset = io::ErrorKind::ConnectionReset;
        assert_eq!(end.event(), Some(Event::Closed(reset)));
        assert_eq!(end.read(&mut [0; 9]), 0);
        assert_eq!(end.reserve(1, 1).unwrap_err().kind(), reset);
        assert!(matches!(end.close(true), [None, None]));
    }

    #[test]
    fn the_peer_is_told_of_a_close_once() {
        let mut end = open(10);
        assert!(matches!(end.shut(), Some(Segment::Fin)));
        assert!(end.shut().is_none());
        assert_eq!(
            end.reserve(1, 1).unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        assert!(matches!(end.close(false), [None, None]));

        let closed = open(10).close(false);
        assert!(matches!(closed, [Some(Segment::Fin), None]));
        let aborted = open(10).close(true);
        assert!(matches!(aborted, [Some(Segment::Reset), None]));
        assert!(matches!(opening().close(false), [None, None]));
        let mut unread = open(10);
        unread.arrive(Segment::Data(vec![1; 3]));
        let closed = unread.close(false);
        assert!(matches!(
            closed,
            [Some(Segment::Fin), Some(Segment::Credit(3))]
        ));
    }
}
