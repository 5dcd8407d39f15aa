//! What a connection over a UNIX socket can do more: send and receive open files. Sends nothing itself.

use super::{
    Transport,
    flags::{CORKED, LAYERED, PASSING, PUSHED, WRITE_ENDED},
};
use crate::{
    address::Address,
    descriptor::{Descriptor, NotPassed, WhyNotPassed},
    driver::SocketOption,
    failure::Result,
};

impl Transport {
    /// Sends an open file, socket or pipe to the process at the other end, with the next byte that is written: without
    /// one it never leaves, and is closed with the connection. It is closed here once it has left. Twisted's
    /// `sendFileDescriptor`, where it goes with the first byte that has not left.
    ///
    /// # Errors
    /// It comes back: the connection is none over a UNIX socket, a layer lies below the protocol, nothing can be written any more, or as many wait as
    /// [`Limits::descriptors`](crate::Limits) allows.
    pub fn send_file_descriptor(&self, descriptor: impl Into<Descriptor>) -> Result<(), NotPassed> {
        let descriptor = descriptor.into();
        let why = if self.has(LAYERED | PUSHED) {
            Some(WhyNotPassed::Layer)
        } else if !matches!(self.peer(), Address::Unix(_)) {
            Some(WhyNotPassed::NoUnixSocket)
        } else if self.has(WRITE_ENDED) {
            Some(WhyNotPassed::Ended)
        } else if self.passing() >= self.0.origin.limits.descriptors {
            Some(WhyNotPassed::QueueFull)
        } else {
            None
        };
        if let Some(why) = why {
            return Err(NotPassed { descriptor, why });
        }
        let mut distance = self.0.out.borrow().unsent();
        if self.has(CORKED) {
            distance += self.0.origin.shared.cork.borrow().unsent();
        }
        let rare = self.0.rare();
        rare.passing.borrow_mut().push(distance, descriptor);
        self.set(PASSING);
        Ok(())
    }

    /// From now on the protocol's [`file_descriptor_received`](crate::Protocol::file_descriptor_received) is called for
    /// what the peer sends: for `connection_made`. Otherwise the system closes what comes, and nobody hears of it.
    ///
    /// # Errors
    /// The connection is none over a UNIX socket, or has ended.
    pub fn receive_file_descriptors(&self) -> Result {
        self.set_option(SocketOption::Descriptors(true))
    }

    /// The descriptors that wait go with the output that they wait in, to the link that a layer gets.
    pub(super) fn hand_passing_down(&self, below: &Self) {
        if self.has(PASSING) {
            self.clear(PASSING);
            below.set(PASSING);
            below.0.rare().passing.swap(&self.0.rare().passing);
        }
    }

    /// How many descriptors wait.
    fn passing(&self) -> usize {
        let rare = self.0.rare_if_any();
        rare.map_or(0, |rare| rare.passing.borrow().len())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::{
        UnixName,
        address::Peer,
        driver::Token,
        testing::memory::Table,
        transport::{Link, Origin, Role, flags::RUNNING},
    };
    use std::{io, os::fd::OwnedFd, rc::Rc};

    #[test]
    fn a_descriptor_goes_behind_what_was_written_before() {
        let table = Table::new();
        let reactor = table.reactor();
        let origin = Rc::new(Origin {
            shared: Rc::clone(&reactor.0.shared),
            limits: reactor.limits(),
            role: Role::Server,
            port: None,
        });
        let token = Token {
            slot: 0,
            generation: 0,
        };
        let peer = Peer::from(Address::Unix(UnixName::Unnamed));
        let transport = Transport(Rc::new(Link::new(&origin, token, RUNNING, peer)));
        let send = || {
            let (_, writer) = io::pipe().expect("there is a pipe");
            let sent = transport.send_file_descriptor(OwnedFd::from(writer));
            sent.expect("it waits in the output");
            transport.0.rare().passing.take().distance()
        };
        transport.write(b"in the cork");
        assert_eq!(send(), Some(11));
        origin.shared.uncork(&transport.0);
        transport.write(b", in the queue");
        assert_eq!(send(), Some(25));
    }
}
