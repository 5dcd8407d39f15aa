//! Open files over the ring's UNIX sockets: the ring tells when there is something to receive, or room, and the calls that
//! carry files are made then. A ring's own buffers carry none.

use super::{
    Uring,
    slots::{PASSING, Parked, READING, SHUT, State},
    work::Work,
};
use crate::passing;
use std::{io, rc::Rc};
use tress_core::{
    clock::Clock,
    descriptor::Passing,
    driver::{Lease, Report, Token},
    outgoing::Outgoing,
};

impl<C: Clock> Uring<C> {
    /// Whether a connection gets what comes, from now on.
    pub(super) fn set_passing(&mut self, conn: Token, yes: bool) -> io::Result<()> {
        let slot = self.slots.get(conn).ok_or(io::ErrorKind::NotConnected)?;
        let (State::Open, Some(socket)) = (slot.state, &slot.socket) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        passing::check(&**socket)?;
        if yes == slot.has(PASSING) {
            return Ok(());
        }
        if yes {
            slot.set(PASSING);
        } else {
            slot.clear(PASSING);
        }
        if let Some(key) = slot.incoming {
            // Otherwise what comes next would still come the old way, and without its files.
            self.ring.cancel_now(key);
        }
        Ok(())
    }

    /// Something has come for a connection that gets files, or its end; or peers for a port that others have, too.
    pub(super) fn readable(&mut self, conn: Token, lease: &mut Lease) -> Option<Report> {
        let slot = self.slots.get(conn)?;
        slot.incoming = None;
        if slot.state == State::Listening {
            return self.has_peers(conn);
        }
        let wanted = slot.has(READING) && slot.has(PASSING) && slot.parked.is_empty();
        if !wanted || slot.state != State::Open {
            self.arm(conn);
            return None;
        }
        let socket = slot.socket.clone()?;
        self.lend_shared(lease);
        match passing::receive(&*socket, lease) {
            Ok(0) => self.deliver_or_park(conn, Parked::End),
            Ok(length) => {
                lease.length = length;
                self.arm(conn);
                Some(Report::Data { conn })
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                self.arm(conn);
                None
            }
            Err(error) => self.deliver_or_park(conn, Parked::Failed(error)),
        }
    }

    /// Sends open files with the bytes they go with, and then the rest.
    pub(super) fn send_files(
        &mut self,
        conn: Token,
        out: &mut Outgoing,
        files: &mut Passing,
    ) -> io::Result<()> {
        let Some(slot) = self.slots.get(conn) else {
            return Ok(());
        };
        let (State::Open, None, Some(socket)) = (slot.state, slot.outgoing, &slot.socket) else {
            // What is in flight comes first; then there is another call.
            return Ok(());
        };
        let socket = Rc::clone(socket);
        match passing::send(&*socket, out, files) {
            Ok(()) => self.start_sending(conn, out),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.outgoing = Some(self.ring.start(conn, Work::AwaitRoom(socket)));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// There is room for what waits with its files.
    pub(super) fn writable(&mut self, conn: Token) -> Option<Report> {
        let slot = self.slots.get(conn)?;
        slot.outgoing = None;
        if slot.has(SHUT) {
            self.shut_after_sending(conn);
        }
        Some(Report::Sent {
            conn,
            bytes: 0,
            emptied: None,
        })
    }
}
